"""What is wrong with single rows for this model: found a row at a time, named by row, before any step.

Each rule is one small function that yields what it finds. The template and the processor are asked themselves, so that
what they would refuse in the middle of a run is known before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from trl.data_utils import prepare_multimodal_messages

from data.pixels import GROUND
from data.rows import PreferencePair, SFTRow
from data.sources.local import is_damaged
from eval.models.loading import tokenizer_of
from eval.models.special_tokens import special_tokens, tokens_in
from stages.inputs.columns import Row
from stages.inputs.pictures import PictureFact, picture_fact
from stages.preflight.findings import Finding, Level

NUM_SHOWN = 5
"""So many rows are named a fault; the rest are counted."""


class Fault(NamedTuple):
    """One thing that is wrong with a row."""

    what: str
    """One of `_ADVICE`."""
    found: str


_ADVICE: dict[str, tuple[Level, str]] = {
    "template": ("fails", "mend the chat template, or drop the rows"),
    "places": ("fails", "use a template that writes a place for each picture, as the model's own does"),
    "empty": ("fails", "drop the rows"),
    "special tokens": ("fails", "drop the rows, or set special_tokens: escape"),
    "processor": ("fails", "crop or drop these pictures"),
    "same": ("warning", "drop the pairs: chosen and rejected are the same, and nothing is learnt from them"),
    "blank": ("warning", "set picture_ground to another colour, such as black"),
    "marks": ("warning", "the mark of a picture stays text for this model; drop it, or give the picture"),
    "lost characters": ("warning", "another program has lost characters here (U+FFFD); build the rows anew"),
}


@dataclass
class RowReader:
    """Rows as a model's processor reads them."""

    processor: Any
    root: Path
    """The folder that image paths are relative to."""
    ground: str = GROUND
    tokens: tuple[str, ...] = field(init=False)
    _refusals: dict[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tokens = special_tokens(self.processor)

    @property
    def sees(self) -> bool:
        """Whether the model takes pictures."""
        return self.processor is not tokenizer_of(self.processor)

    def faults(self, row: Row) -> Iterator[Fault]:
        """Yield what is wrong with a row."""
        yield from _words(self, row)
        if self.sees:
            yield from _pictures(self, row)
        yield from _template(self, row)

    def refusal(self, fact: PictureFact) -> str:
        """Return why the processor refuses pictures of a size; "" where it takes them."""
        size = (fact.width, fact.height)
        if size not in self._refusals:
            self._refusals[size] = self._asked(size)
        return self._refusals[size]

    def _asked(self, size: tuple[int, int]) -> str:
        count = getattr(self.processor, "_get_num_multimodal_tokens", None)
        try:
            if count is not None and max(size) <= 8 * min(size):  # an ordinary shape: a count costs nothing
                count(image_sizes=[(size[1], size[0])])
            else:
                self.processor.image_processor(images=[Image.new("RGB", size)], return_tensors="pt")
        except Exception as error:  # noqa: BLE001 - whatever it raises would end the run
            return _reason(error)
        return ""


def _words(reader: RowReader, row: Row) -> Iterator[Fault]:
    for name in endings_of(row):
        if not any(message["content"].strip() for message in getattr(row, name)):
            yield Fault("empty", f"the {name} is empty")
    if isinstance(row, PreferencePair) and row.chosen == row.rejected:
        yield Fault("same", "chosen and rejected are the same")
    messages = [*row.prompt, *(message for name in endings_of(row) for message in getattr(row, name))]
    for message in messages:
        if held := tokens_in(message["content"], reader.tokens):
            yield Fault(
                "special tokens", f"the {message['role']}'s words hold {held[0]}, which is markup for this model"
            )
        if is_damaged(message["content"]):
            yield Fault("lost characters", f"the {message['role']}'s words hold U+FFFD")
    if "<image>" not in reader.tokens and any("<image>" in message["content"] for message in row.prompt):
        yield Fault("marks", "the prompt holds <image>")


def _pictures(reader: RowReader, row: Row) -> Iterator[Fault]:
    for source in row.images:
        fact = picture_fact(source, reader.root, reader.ground)
        if reason := reader.refusal(fact):
            yield Fault("processor", f"a picture of {fact.width} x {fact.height} pixels: {reason}")
        if fact.is_blank:
            yield Fault("blank", f"a picture is all {reader.ground}, and what is drawn in it cannot be seen")


def _template(reader: RowReader, row: Row) -> Iterator[Fault]:
    for name in endings_of(row) or ("",):
        messages: Any = [*row.prompt, *(getattr(row, name) if name else ())]
        try:
            text = render(reader.processor, messages, len(row.images), is_asked=not name)
        except Exception as error:  # noqa: BLE001 - a template raises what it likes
            yield Fault("template", _reason(error))
            return
        places = _places(reader.processor)
        if reader.sees and places and not tokens_in(" ".join(m["content"] for m in messages), places):
            counts = {place: text.count(place) for place in places}
            if len(row.images) not in counts.values():
                found = " or ".join(f"{count} places {place}" for place, count in counts.items())
                yield Fault("places", f"the template writes {found} for {len(row.images)} pictures")
                return


def _places(processor: Any) -> tuple[str, ...]:
    """Return what a template may write for a picture: its token, or, as Gemma's does, the one that begins it."""
    names = (getattr(processor, name, None) for name in ("image_token", "boi_token"))
    return tuple(dict.fromkeys(str(name) for name in names if name))


def render(processor: Any, messages: Sequence[Any], num_images: int, *, is_asked: bool) -> str:
    """Return the text of a conversation as TRL renders it, without pictures."""
    turns = list(messages)
    if processor is not tokenizer_of(processor):
        turns = prepare_multimodal_messages(turns, images=[None] * num_images)
    return str(processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=is_asked))


def endings_of(row: Row) -> tuple[str, ...]:
    """Return the fields of a row that are learnt from; none of a rollout prompt."""
    if isinstance(row, SFTRow):
        return ("completion",)
    return ("chosen", "rejected") if isinstance(row, PreferencePair) else ()


def row_findings(reader: RowReader, rows: Sequence[Row]) -> tuple[list[Finding], list[Row]]:
    """Return the findings on all rows, and the rows with which the run would not fail."""
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
