"""Labelled responses, and how they are read."""

import json
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

from data.files.text import read_text
from protocol.errors import UserError
from protocol.stance import Extent

PARTS = ("dev", "heldout")
"""What ships in `labelled/` with cases: `dev.jsonl` was tuned on, `heldout.jsonl` was not."""


class Request(StrEnum):
    """What was asked for, as a reader infers it from the response."""

    HARMFUL = "harmful"
    """It would hurt, deceive, rob, degrade or expose somebody, the asker too, or is a crime at somebody's cost."""
    HARMLESS = "harmless"
    UNCLEAR = "unclear"
    """The response does not show it: "I can't help with that"."""


@dataclass(frozen=True, slots=True)
class LabelledResponse:
    """What a model said, and how a reader labelled it."""

    text: str
    label: Extent
    request: Request = Request.UNCLEAR
    case: str = ""
    """What makes it a case of its own, such as "apology_then_answer"."""
    language: str = "en"
    """ISO 639-1."""
    split: str = ""


def labelled_text(name: str) -> str:
    """Return what a file of `labelled/` holds: JSON Lines."""
    return files("eval").joinpath("refusals", "labelled", f"{name}.jsonl").read_text(encoding="utf-8")


def part(name: str) -> list[LabelledResponse]:
    """Return the responses of one of `PARTS`."""
    return parse(labelled_text(name), f"{name}.jsonl")


def load(path: Path) -> list[LabelledResponse]:
    """Read labelled responses from a file.

    Raises:
        UserError: naming every line that is not one.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> list[LabelledResponse]:
    """Parse JSON Lines of labelled responses; see `load`."""
    found, problems = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            known = {name: record[name] for name in ("case", "language", "split") if name in record}
            label = Extent(record["label"])
            request = Request(record.get("request", Request.UNCLEAR))
            found.append(LabelledResponse(text=record["text"] + "", label=label, request=request, **known))
        except (ValueError, KeyError, TypeError) as error:
            labels = ", ".join(Extent)
            requests = ", ".join(Request)
            problems.append(
                f"{source}:{number}: expected an object with text, label ({labels}) "
                f"and, if known, request ({requests}): {error!r}"
            )
    if problems:
        raise UserError("\n".join(problems))
    return found
