"""Reads the declaration of a task: YAML; each problem is reported with its field and a hint."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import yaml

from data.pocket.world import SPLITS
from data.rows import Query
from data.sources.declared.registry import built_in_sources
from eval.results.metrics import metric_by_name
from protocol.errors import UserError
from protocol.nearest import nearest

POCKET = "pocket"
"""The source whose queries are generated, not imported."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LABELS = ("image_risk", "text_risk", "combined_risk", "category", "decision")


class TaskError(UserError):
    """A task cannot be used; the message lists every problem of its file, or what is missing to run it."""


class Measures(StrEnum):
    """What a task measures. Over-refusal is separate, because a policy that refuses everything is safe."""

    SAFETY = "safety"
    OVER_REFUSAL = "over-refusal"
    GENERAL = "general"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Queries and the metrics to compute from their responses."""

    name: str
    title: str
    about: str
    """One or two sentences: the queries, and the behaviour of a good checkpoint."""
    measures: Measures
    source: str
    """A set of `data/sources`, or "pocket"."""
    metrics: tuple[str, ...]
    """Names in `eval.results.metrics`, the most important one first; all other metrics are computed too."""
    split: str = "test"
    """Our split of the source."""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Queries to keep, by `kind` (patterns such as "xstest-*") or by a label; empty keeps all."""
    size: int = 500
    """Number of queries that the pocket world generates, before `only`; other sources are used completely."""

    def takes(self, query: Query) -> bool:
        """Whether a query belongs to the task."""
        if query.split != self.split:
            return False
        return all(_is_any(query, name, wanted) for name, wanted in self.only.items())


def _is_any(query: Query, name: str, wanted: Sequence[str]) -> bool:
    value = str(query.kind if name == "kind" else getattr(query.labels, name))
    return any(fnmatchcase(value, pattern) for pattern in wanted)


def parse_task(text: str, name: str) -> Task:
    """Parse a task's YAML; messages call the file `name`.

    Raises:
        TaskError: the file has mistakes; lists every mistake with its field and a hint.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise TaskError(f"{name}{where}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(value, dict):
        raise TaskError(f"{name}: expected a mapping that describes a task")
    if problems := list(_problems(value)):
        raise TaskError("\n".join(f"{name}: {problem}" for problem in problems))
    only = {key: (each,) if isinstance(each, str) else tuple(each) for key, each in value.get("only", {}).items()}
    fixed = {"measures": Measures(value["measures"]), "metrics": tuple(value["metrics"]), "only": only}
    return Task(**(value | fixed))


def _problems(value: Mapping[str, Any]) -> Iterator[str]:
    known = {each.name: each for each in fields(Task)}
    for key in value:
        if key not in known:
            yield f"unknown key {key!r}; {nearest(str(key), known) or 'known are ' + ', '.join(known)}"
    required = [each.name for each in known.values() if each.default is MISSING and each.default_factory is MISSING]
    missing = [key for key in required if key not in value]
    if missing:
        yield f"{', '.join(missing)}: missing"
    texts = [key for key in ("name", "title", "about", "measures", "source", "split") if key in value]
    yield from (f"{key}: expected a text, found {value[key]!r}" for key in texts if not isinstance(value[key], str))
    if isinstance(value.get("name"), str) and not NAME.fullmatch(value["name"]):
        yield f"name: expected letters, digits, '.', '_' and '-', as in a folder's name, found {value['name']!r:.99}"
    for key, names in (("measures", tuple(Measures)), ("source", (POCKET, *built_in_sources())), ("split", SPLITS)):
        if isinstance(value.get(key), str):
            yield from _unknown(key, [value[key]], names)
    if "metrics" in value:
        yield from _unknown("metrics", value["metrics"], tuple(metric_by_name))
    yield from _wrong_filters(value.get("only", {}))
    size = value.get("size", 1)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        yield f"size: expected a number from 1, found {size!r}"


def _wrong_filters(only: Any) -> Iterator[str]:
    if not isinstance(only, dict):
        yield f"only: expected a mapping from kind or a label to values, found {only!r}"
        return
    for key, wanted in only.items():
        yield from _unknown("only", [key], ("kind", *LABELS))
        values = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(values, list) or not values or not all(isinstance(each, str) for each in values):
            yield f"only.{key}: expected a text or a list of texts, found {wanted!r}"


def _unknown(key: str, found: Any, known: Sequence[str]) -> Iterator[str]:
    if not isinstance(found, list) or not found:
        yield f"{key}: expected a list of names, found {found!r}"
        return
    for each in found:
        if each not in known:
            yield f"{key}: there is no {each!r}; {nearest(str(each), known) or 'known are ' + ', '.join(known)}"
