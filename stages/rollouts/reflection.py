"""Safety-aware rollouts: the policy reflects on its responses with low reward and corrects them.

This follows SaFeR-VLM (arXiv 2510.06871). If a reward is low, the model sees its response, the checker's findings and
the safety question. It writes a reflection, and then a corrected response with the reflection in the context. The
correction joins the group of the original prompt, beside the response that it corrects, and is trained as a response to
that prompt.

The size of a group does not change: a correction replaces one of the last responses of the group. So the choice of
replaced responses does not depend on their rewards, and the corrected response stays for contrast. A correction is
dropped if it is truncated, unscored or not better than its original.

The paper does not state the threshold, the share, the wording, and whether a correction must be better; these are our
own choices. This module does not depend on TRL.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol import Labels, Plan, diagnose
from protocol.diagnostics import show
from protocol.templates import plain_template
from stages.arguments.rollouts import Reflect, num_corrections
from stages.rollouts.record.stats import groups_of
from stages.rollouts.reward import Judged

MAX_FAULTS = 8
"""Maximum number of faults in the message; the first ones are the root causes."""

Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class JudgedResponse:
    """A judged response to a row of the data set."""

    row: dict[str, Any]
    text: str
    token_ids: list[int]
    is_truncated: bool
    judged: Judged
    note: dict[str, Any] = field(default_factory=lambda: {"origin": "policy"})
    """Its origin, for the record."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A conversation for the policy to continue."""

    row: dict[str, Any]
    """The row of its first prompt; its images belong to the first user message."""
    messages: Messages
    is_response: bool
    """Whether the next message is a response, which a plan's grammar may constrain."""


SampleTurns = Callable[[Sequence[Turn]], list[list[int] | None]]
"""Returns the tokens of the next message of each conversation; None if a conversation is too long for the model."""
JudgeResponses = Callable[[Sequence[dict[str, Any]], Sequence[list[int]]], list[JudgedResponse]]
"""Returns the judged responses for rows and tokens."""


@dataclass(frozen=True, slots=True)
class Reflection:
    """Corrects responses with low reward."""

    kind: Reflect
    below: float
    share: float
    """Maximum share of corrections in a group."""
    sample: SampleTurns
    decode: Callable[[list[int]], str]
    judge: JudgeResponses

    def correct(self, responses: Sequence[JudgedResponse], group_size: int) -> tuple[list[JudgedResponse], int]:
        """Return the responses with the corrections, and the number of attempted corrections.

        Args:
            responses: complete groups, one after another.
            group_size: responses per group.
        """
        num_places = num_corrections(self.share, group_size)
        chosen = [
            (start * group_size + place, start * group_size + low)
            for start, group in enumerate(groups_of(responses, group_size))
            for place, low in open_places([each.judged.reward for each in group], self.below, num_places)
        ]
        corrected = list(responses)
        for (place, low), correction in zip(
            chosen, self._corrections([responses[low] for _, low in chosen]), strict=True
        ):
            if correction is not None and _is_better(correction, responses[low]):
                correction.note["corrects"] = low % group_size
                corrected[place] = correction
        return corrected, len(chosen)

    def _corrections(self, originals: Sequence[JudgedResponse]) -> list[JudgedResponse | None]:
        """Return a judged correction of each original; None if its conversation became too long."""
        asked = [Turn(each.row, self._asked(each), is_response=False) for each in originals]
        reflections: dict[int, str] = {}
        talks: dict[int, Turn] = {}
        for place, (turn, ids) in enumerate(zip(asked, self._sampled(asked), strict=True)):
            if ids is not None:
                reflections[place] = self.decode(ids)
                said = [_says("assistant", reflections[place]), _says("user", _text("correct"))]
                talks[place] = Turn(turn.row, [*turn.messages, *said], is_response=True)
        written = zip(talks, self._sampled(list(talks.values())), strict=True)
        done = {place: ids for place, ids in written if ids is not None}
        judged = self.judge([originals[place].row for place in done], list(done.values())) if done else []
        found = dict(zip(done, judged, strict=True))
        for place, response in found.items():
            response.note.update(origin="correction", reflection=reflections[place])
        return [found.get(place) for place in range(len(originals))]

    def _sampled(self, turns: Sequence[Turn]) -> list[list[int] | None]:
        return self.sample(turns) if turns else []

    def _asked(self, original: JudgedResponse) -> Messages:
        request = _text("reflect", faults=faults_told(original, self.kind))
        return [*original.row["prompt"], _says("assistant", original.text), _says("user", request)]


def open_places(rewards: Sequence[float | None], below: float, num_places: int) -> list[tuple[int, int]]:
    """Return pairs (place for the correction, response to correct) of a group, the worst response first.

    >>> open_places([0.1, 0.9, 0.0, None, 0.2, 0.8], below=0.5, num_places=2)  # the last two make room
    [(4, 2), (5, 0)]
    >>> open_places([0.9, 0.1, 0.9, 0.0], below=0.5, num_places=2)
    [(2, 1)]
    """
    first = len(rewards) - num_places
    low = [(reward, place) for place, reward in enumerate(rewards[:first]) if reward is not None and reward < below]
    return [(first + index, place) for index, (_, place) in enumerate(sorted(low)[:num_places])]


def faults_told(original: JudgedResponse, kind: Reflect) -> str:
    """Return the faults of a response in words: those found with the plan, or also those found with the labels.

    Args:
        original: the response; its row has a `plan`, and `labels`.
        kind: "informed" also uses the labels; the correction then uses information that the policy does not have.
    """
    labels = Labels.from_json(original.row["labels"]) if kind == "informed" else Labels()
    found = diagnose(original.text, Plan.from_json(original.row["plan"]), labels).diagnostics
    return "\n".join(show(each, original.text) for each in found[:MAX_FAULTS])


def _is_better(correction: JudgedResponse, original: JudgedResponse) -> bool:
    reward, before = correction.judged.reward, original.judged.reward
    return reward is not None and before is not None and reward > before and not correction.is_truncated


def _says(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _text(name: str, **values: str) -> str:
    return plain_template("stages", f"prompts/{name}.j2").render(**values).strip()
