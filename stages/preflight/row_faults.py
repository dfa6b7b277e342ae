"""Finds faults of single rows for this model, before training; each fault names its row.

Each rule is a small function that yields faults. The rules call the real template and processor. So errors that would
happen in the middle of a run are found before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from trl.data_utils import prepare_multimodal_messages

from data.pictures.pixels import GROUND
from data.rows import PreferencePair, SFTRow, TrainingRow
from data.sources.reading.local import is_damaged
from eval.models.processors import tokenizer_of
from eval.models.special_tokens import special_tokens, tokens_in
from stages.inputs.pictures import PictureFact, picture_fact
from stages.preflight.findings import Finding, Level

NUM_SHOWN = 5
"""Maximum number of rows to list for each fault; the rest are counted."""


class RowFault(NamedTuple):
    """A fault of a row."""

    what: str
    """A key of `_ADVICE`."""
    found: str


_ADVICE: dict[str, tuple[Level, str]] = {
    "template": ("fails", "fix the chat template, or drop the rows"),
    "places": ("fails", "use a template that writes a placeholder for each picture, like the model's own"),
    "empty": ("fails", "drop the rows"),
    "special tokens": ("fails", "drop the rows, or set special_tokens: escape"),
    "processor": ("fails", "crop or drop these pictures"),
    "same": ("warning", "drop the pairs: chosen and rejected are equal, so nothing can be learnt"),
    "blank": ("warning", "set picture_ground to another colour, such as black"),
    "marks": ("warning", "the mark of a picture is plain text for this model; remove it, or add the picture"),
    "lost characters": ("warning", "another program lost characters here (U+FFFD); build the rows again"),
}


@dataclass
class RowReader:
    """Reads rows with a model's processor."""

    processor: Any
    root: Path
    """Image paths are relative to this folder."""
    ground: str = GROUND
    tokens: tuple[str, ...] = field(init=False)
    _refusals: dict[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tokens = special_tokens(self.processor)

    @property
    def sees(self) -> bool:
        """Whether the model accepts pictures."""
        return self.processor is not tokenizer_of(self.processor)

    def faults(self, row: TrainingRow) -> Iterator[RowFault]:
        """Yield the faults of a row."""
        yield from _words(self, row)
        if self.sees:
            yield from _pictures(self, row)
        yield from _template(self, row)

    def refusal(self, fact: PictureFact) -> str:
        """Return why the processor rejects pictures of this size; "" if it accepts them."""
        size = (fact.width, fact.height)
        if size not in self._refusals:
            self._refusals[size] = self._asked(size)
        return self._refusals[size]

    def _asked(self, size: tuple[int, int]) -> str:
        count = getattr(self.processor, "_get_num_multimodal_tokens", None)
        try:
            if count is not None and max(size) <= 8 * min(size):  # for an ordinary shape, the count is enough
                count(image_sizes=[(size[1], size[0])])
            else:
                self.processor.image_processor(images=[Image.new("RGB", size)], return_tensors="pt")
        except Exception as error:  # noqa: BLE001 - whatever it raises would end the run
            return _reason(error)
        return ""


def _words(reader: RowReader, row: TrainingRow) -> Iterator[RowFault]:
    for name in endings_of(row):
        if not any(message["content"].strip() for message in getattr(row, name)):
            yield RowFault("empty", f"the {name} is empty")
    if isinstance(row, PreferencePair) and row.chosen == row.rejected:
        yield RowFault("same", "chosen and rejected are the same")
    messages = [*row.prompt, *(message for name in endings_of(row) for message in getattr(row, name))]
    for message in messages:
        if held := tokens_in(message["content"], reader.tokens):
            yield RowFault(
                "special tokens", f"the {message['role']}'s words hold {held[0]}, which is markup for this model"
            )
        if is_damaged(message["content"]):
            yield RowFault("lost characters", f"the {message['role']}'s words hold U+FFFD")
    if "<image>" not in reader.tokens and any("<image>" in message["content"] for message in row.prompt):
        yield RowFault("marks", "the prompt holds <image>")


def _pictures(reader: RowReader, row: TrainingRow) -> Iterator[RowFault]:
    for source in row.images:
        fact = picture_fact(source, reader.root, reader.ground)
        if reason := reader.refusal(fact):
            yield RowFault("processor", f"a picture of {fact.width} x {fact.height} pixels: {reason}")
        if fact.is_blank:
            yield RowFault("blank", f"a picture is completely {reader.ground}; its content cannot be seen")


def _template(reader: RowReader, row: TrainingRow) -> Iterator[RowFault]:
    for name in endings_of(row) or ("",):
        messages: Any = [*row.prompt, *(getattr(row, name) if name else ())]
        try:
            text = render(reader.processor, messages, len(row.images), is_asked=not name)
        except Exception as error:  # noqa: BLE001 - a template raises what it likes
            yield RowFault("template", _reason(error))
            return
        places = _places(reader.processor)
        if reader.sees and places and not tokens_in(" ".join(m["content"] for m in messages), places):
            counts = {place: text.count(place) for place in places}
            if len(row.images) not in counts.values():
                found = " or ".join(f"{count} places {place}" for place, count in counts.items())
                yield RowFault("places", f"the template writes {found} for {len(row.images)} pictures")
                return


def _places(processor: Any) -> tuple[str, ...]:
    """Return the texts that a template may write for a picture: its token, or (Gemma) the token of its beginning."""
    names = (getattr(processor, name, None) for name in ("image_token", "boi_token"))
    return tuple(dict.fromkeys(str(name) for name in names if name))


def render(processor: Any, messages: Sequence[Any], num_images: int, *, is_asked: bool) -> str:
    """Return the text of a conversation, rendered as in TRL, without pictures."""
    turns = list(messages)
    if processor is not tokenizer_of(processor):
        turns = prepare_multimodal_messages(turns, images=[None] * num_images)
    return str(processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=is_asked))


def endings_of(row: TrainingRow) -> tuple[str, ...]:
    """Return the fields of a row with learnt text; none for a rollout prompt."""
    if isinstance(row, SFTRow):
        return ("completion",)
    return ("chosen", "rejected") if isinstance(row, PreferencePair) else ()


def row_findings(reader: RowReader, rows: Sequence[TrainingRow]) -> tuple[list[Finding], list[TrainingRow]]:
    """Return the findings for all rows, and the rows that would not make the run fail."""
    found: dict[str, list[str]] = {}
    sound = []
    for row in rows:
        kinds = set()
        for fault in reader.faults(row):
            if fault.what not in kinds:
                found.setdefault(fault.what, []).append(f"{row.id}: {fault.found}")
            kinds.add(fault.what)
        if not any(_ADVICE[kind][0] == "fails" for kind in kinds):
            sound.append(row)
    return [_finding(what, told) for what, told in found.items()], sound


def _finding(what: str, told: Sequence[str]) -> Finding:
    level, advice = _ADVICE[what]
    more = f"; and {len(told) - NUM_SHOWN} more rows" if len(told) > NUM_SHOWN else ""
    return Finding(level, what, f"{len(told)} rows: {'; '.join(told[:NUM_SHOWN])}{more}", advice)


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
