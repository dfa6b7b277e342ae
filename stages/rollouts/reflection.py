"""Safety-aware rollouts: responses that are worth little are reflected on and corrected by the policy itself.

After SaFeR-VLM (arXiv 2510.06871): below a score the model is shown its response, what the checker found in it and the
safety question; it writes a reflection, and with that in the context a corrected response. The correction enters the
group of the original prompt beside the response that it corrects, and is trained on as a response to that prompt.

A group keeps its size. Its last places are open: a correction takes one from whatever the policy had put there, so that
which of its own responses make room does not depend on their worth, and what is corrected stays as contrast. A
correction that is cut off, unscored or worth no more than its original is dropped.

Our own, since the published text does not tell them: the threshold, the share, the wording, and that a correction has
to be better. Nothing here knows TRL.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol import Labels, Plan, diagnose
from protocol.diagnostics import show
from protocol.templates import plain_template
from stages.arguments.rollouts import Reflect, num_corrections
from stages.rollouts.reward import Judged
from stages.rollouts.stats import groups_of

MAX_FAULTS = 8
"""So many faults are told; the first ones are the roots of the others."""

Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Response:
    """A response to a row of the data set, with what it is worth."""

    row: dict[str, Any]
    text: str
    token_ids: list[int]
    is_truncated: bool
    judged: Judged
    note: dict[str, Any] = field(default_factory=lambda: {"origin": "policy"})
    """How it came about, for the record."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A conversation that the policy goes on with."""

    row: dict[str, Any]
    """Where it began; its images belong to the first user message."""
    messages: Messages
    is_response: bool
    """Whether what comes next is a response, which a plan's grammar may bind."""


Sample = Callable[[Sequence[Turn]], list[list[int] | None]]
"""Returns the tokens of what comes next in each conversation; None where one has grown too long for the model."""
Judge = Callable[[Sequence[dict[str, Any]], Sequence[list[int]]], list[Response]]
"""Returns tokens as responses to rows, judged."""


@dataclass(frozen=True, slots=True)
class Reflection:
    """Which responses are corrected, and how."""

    kind: Reflect
    below: float
    share: float
    """Most of a group that may be corrections."""
    sample: Sample
    decode: Callable[[list[int]], str]
    judge: Judge

    def correct(self, responses: Sequence[Response], group_size: int) -> tuple[list[Response], int]:
        """Return the responses with corrections among them, and how many were tried.

        Args:
            responses: whole groups, one after the other.
            group_size: responses a group.
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

    def _corrections(self, originals: Sequence[Response]) -> list[Response | None]:
        """Return a judged correction of each original; None where its conversation grew too long."""
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

    def _asked(self, original: Response) -> Messages:
        request = _text("reflect", faults=faults_told(original, self.kind))
        return [*original.row["prompt"], _says("assistant", original.text), _says("user", request)]


def open_places(rewards: Sequence[float | None], below: float, num_places: int) -> list[tuple[int, int]]:
    """Return which place of a group a correction may take, and of which response, the worst first.

    >>> open_places([0.1, 0.9, 0.0, None, 0.2, 0.8], below=0.5, num_places=2)  # the last two make room
    [(4, 2), (5, 0)]
    >>> open_places([0.9, 0.1, 0.9, 0.0], below=0.5, num_places=2)
    [(2, 1)]
    """
    first = len(rewards) - num_places
    low = [(reward, place) for place, reward in enumerate(rewards[:first]) if reward is not None and reward < below]
    return [(first + index, place) for index, (_, place) in enumerate(sorted(low)[:num_places])]


def faults_told(original: Response, kind: Reflect) -> str:
    """Return the faults of a response in words: those that follow from it and its plan alone, or also from the labels.

    Args:
        original: the response; its row has a `plan`, and `labels`.
        kind: "informed" tells what the labels know; the correction then rests on what the policy cannot see.
    """
    labels = Labels.from_json(original.row["labels"]) if kind == "informed" else Labels()
    found = diagnose(original.text, Plan.from_json(original.row["plan"]), labels).diagnostics
    return "\n".join(show(each, original.text) for each in found[:MAX_FAULTS])


def _is_better(correction: Response, original: Response) -> bool:
    reward, before = correction.judged.reward, original.judged.reward
    return reward is not None and before is not None and reward > before and not correction.is_truncated


def _says(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _text(name: str, **values: str) -> str:
    return plain_template("stages", f"prompts/{name}.j2").render(**values).strip()
