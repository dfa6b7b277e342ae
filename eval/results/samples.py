"""An evaluated response with everything behind its numbers; `eval/samples.jsonl` has one per line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from data.files.json_lines import RowsError, numbered_lines
from data.files.numbers import is_finite_number
from data.pictures.pixels import GROUND, is_colour
from protocol import Plan
from protocol.errors import UserError
from protocol.labels import Labels

NO_RESPONSE = "response"
"""Key in `unscored` for the reason of a missing response."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A response to a prompt, its verdict and its scores."""

    id: str
    """Id of the prompt. It is the same in every stage and seed, so that stages can be compared in pairs."""
    kind: str
    """The query's kind, such as "typographic"."""
    query: str
    """The user's words."""
    images: tuple[str, ...]
    """Paths relative to the folder of the prompts' file, or `data:` URIs."""
    plan: str
    """Canonical JSON text of the plan."""
    labels: Labels
    response: str
    """The decoded text of the model."""
    scores: dict[str, float | None] = field(default_factory=dict)
    """Score by name (`eval/scores/response.py`, and safety, helpfulness and rigor by the judge); None is unscored."""
    unscored: dict[str, str] = field(default_factory=dict)
    """Name of a score -> why it is None."""
    diagnostics: tuple[dict[str, Any], ...] = ()
    """Every diagnostic of the response, in the format of `Diagnostic.to_json`."""
    num_tokens: int = 0
    """Tokens of the response."""
    is_truncated: bool = False
    """Whether generation stopped at the token limit."""
    picture_ground: str = GROUND
    """Background colour of transparent pictures, for the policy and the judge."""


def read_samples(path: Path) -> list[Sample]:
    """Read samples.

    Raises:
        RowsError: the file is missing or a line is not a sample.
    """
    samples = []
    for number, line in numbered_lines(path):
        try:
            record = json.loads(line)
            lists = {name: tuple(record[name]) for name in ("images", "diagnostics")}
            sample = Sample(**{**record, **lists, "labels": Labels.from_json(record["labels"])})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise RowsError(f"{path}:{number}: not a sample ({error}); evaluate again") from None
        if problem := next(_unfit(sample), None):
            raise RowsError(f"{path}:{number}: not a sample ({problem}); evaluate again")
        samples.append(sample)
    if not samples:
        raise RowsError(f"{path}: holds no samples; evaluate again")
    return samples


def _unfit(sample: Any) -> Iterator[str]:
    """Yield the fields of a sample with a wrong type: the file is not trusted."""
    texts = ("id", "kind", "query", "plan", "response")
    yield from (f"{name}: expected a text" for name in texts if not isinstance(getattr(sample, name), str))
    if isinstance(sample.plan, str) and (problem := _plan_problem(sample.plan)):
        yield f"plan: {problem}"
    if not all(isinstance(image, str) for image in sample.images):
        yield "images: expected texts"
    if not isinstance(sample.scores, dict) or not all(map(_is_score, sample.scores.values())):
        yield "scores: expected numbers by name"
    if not isinstance(sample.unscored, dict) or not all(isinstance(each, str) for each in sample.unscored.values()):
        yield "unscored: expected reasons by name"
    if not all(_is_diagnostic(found) for found in sample.diagnostics):
        yield "diagnostics: expected objects with code and message"
    is_count = isinstance(sample.num_tokens, int) and is_finite_number(sample.num_tokens)
    if not is_count or not isinstance(sample.is_truncated, bool):
        yield "num_tokens, is_truncated: expected a number, and true or false"
    if not isinstance(sample.picture_ground, str) or not is_colour(sample.picture_ground):
        yield "picture_ground: expected a colour"


@cache
def _plan_problem(text: str) -> str:
    """Return what is wrong with a plan; "" if it is valid."""
    try:
        Plan.from_json(text)
    except UserError as error:
        return str(error).splitlines()[0]
    return ""


def _is_score(value: object) -> bool:
    return value is None or is_finite_number(value)


def _is_diagnostic(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    is_placed = all(value.get(name) is None or isinstance(value[name], int) for name in ("line", "column"))
    return is_placed and all(isinstance(value.get(name), str) for name in ("code", "message"))
