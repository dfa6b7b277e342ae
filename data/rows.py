"""The rows that pass between the parts: what is asked, and what each stage trains on.

One frozen dataclass a kind, one JSON object a line on disk (`data/files/json_lines.py`). The columns of the three
training rows are the ones TRL reads (`prompt`, `completion`, `chosen`, `rejected`, `images`); a plan travels as its
canonical JSON text, so that a column keeps one type whatever the plan holds. Nothing here knows where queries come
from.
"""

from dataclasses import dataclass, field
from typing import TypedDict

from protocol.labels import Decision, Labels


class Message(TypedDict):
    """One turn of a conversation in the form chat templates read."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a row comes from."""

    source: str
    """Name of the data set or generator, such as "pocket"."""
    licence: str
    """SPDX identifier, or the licence's name."""
    builder: str
    """Name and version of the code that built the row."""
    citation: str = ""
    """How to cite the source, such as "arXiv:2406.12030"."""
    origin: str = ""
    """Where in the source the row was, such as "train.json:12, split train"."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a user sends, and what is known about it."""

    id: str
    """Stable and unique within its source."""
    text: str
    kind: str
    """Which case it is, such as "typographic" or "plain"; groups the tables of a report."""
    split: str
    """"train", "validation" or "test"."""
    images: tuple[str, ...] = ()
    """Paths relative to the file the row is in, or `data:` URIs."""
    labels: Labels = field(default_factory=Labels)
    answers: dict[str, str] = field(default_factory=dict)
    """Reference answers by decision, where the source has them; the honest one is under `labels.decision`.

    An answer whose decision the source does not state is under "reference"."""
    intent: str = ""
    """What is asked for, in a few words, such as "clean the knife"; "" where the source does not say."""
    setting: str = ""
    """Where the picture is set, such as "kitchen"; "" where the source does not say."""
    provenance: Provenance | None = None

    @property
    def honest_answer(self) -> str | None:
        """The reference answer under the expected decision, or None where there is none."""
        return None if self.labels.decision is None else self.answers.get(Decision(self.labels.decision))


@dataclass(frozen=True, slots=True)
class SFTRow:
    """A prompt and the response to imitate."""

    id: str
    query_id: str
    kind: str
    split: str
    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]
    images: tuple[str, ...]
    plan: str
    """Canonical JSON text of the plan in the prompt."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A prompt with a better and a worse response."""

    id: str
    query_id: str
    kind: str
    split: str
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    images: tuple[str, ...]
    plan: str
    corruption: str
    """What is wrong with `rejected`: the name of the corruption that made it."""
    expected_codes: tuple[str, ...]
    """The diagnostics that the corruption causes, checked when the pair was built."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class RolloutPrompt:
    """A prompt to sample responses for, with all that rewards need to judge them."""

    id: str
    query_id: str
    kind: str
    split: str
    prompt: tuple[Message, ...]
    images: tuple[str, ...]
    plan: str
    labels: Labels
    query: str
    """The user's words, without the plan."""
    provenance: Provenance


TrainingRow = SFTRow | PreferencePair | RolloutPrompt
Row = Query | TrainingRow
type_by_name = {"query": Query, "sft": SFTRow, "preference": PreferencePair, "rollout": RolloutPrompt}
