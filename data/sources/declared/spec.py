"""Reads the declaration of a source: YAML, checked against `source.schema.json`; each problem has a line and a hint."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from data.files.text import read_text
from data.sources.declared.expressions import Expression, columns_of
from data.sources.reading.records import SourceError
from protocol.labels import Decision, Risk
from protocol.nearest import nearest
from toolkit.catalogue import CATEGORIES

_VALUES = {
    "image_risk": tuple(Risk),
    "text_risk": tuple(Risk),
    "combined_risk": tuple(Risk),
    "decision": tuple(Decision),
    "category": CATEGORIES,
}


@dataclass(frozen=True, slots=True)
class Hub:
    """The place of the set on the Hugging Face Hub."""

    id: str
    configs: tuple[str, ...] = ()
    """Configurations to read; () for the default one."""
    splits: tuple[str, ...] = ("train",)
    """Splits to read if the user names none."""


@dataclass(frozen=True, slots=True)
class RowSpec:
    """How a record becomes a query, or several queries: one for each item of a list."""

    kind: Expression
    text: Expression
    when: Mapping[str, Any] = field(default_factory=dict)
    each: str | None = None
    images: tuple[Any, ...] = ()
    intent: Expression | None = None
    setting: Expression | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Expression] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """The paths that a record must have."""
        images = [each for each in self.images if not (isinstance(each, Mapping) and "optional" in each)]
        return set().union(*(columns_of(each) for each in (self.text, *images)))


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A data set and how its columns become queries."""

    name: str
    licence: str
    citation: str
    rows: tuple[RowSpec, ...]
    title: str = ""
    reference: str = ""
    """Source of the column names and meanings."""
    notes: tuple[str, ...] = ()
    """Which records are dropped or relabelled, and the known faults of the set."""
    hub: Hub | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    """Split of the source -> our split; records of other splits are left out."""
    split: Expression | None = None
    """The expression for the split of a record, if a column has it."""
    drop: tuple[Mapping[str, Any], ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of all row declarations, in their usual order."""
        known = {name for row in self.rows for name in row.labels}
        order = ("image_risk", "text_risk", "combined_risk", "category", "decision", "objects", "texts", "facts")
        return tuple(name for name in order if name in known)

    @property
    def modality(self) -> str:
        """The parts of the queries: "text", "image + text" or "text, image + text"."""
        kinds = {"image + text" if row.images else "text" for row in self.rows}
        optional = any(isinstance(each, Mapping) and "optional" in each for row in self.rows for each in row.images)
        return ", ".join(sorted(kinds | ({"text"} if optional else set()), reverse=True))


def read_spec(path: Path) -> SourceSpec:
    """Read a source's YAML file.

    Raises:
        SourceError: the file cannot be read, or has mistakes; lists every mistake with its line and a hint.
    """
    try:
        return parse_spec(read_text(path), str(path))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse_spec(text: str, name: str) -> SourceSpec:
    """Parse a source's YAML; messages call the file `name`.

    Raises:
        SourceError: lists every problem with its line and a hint.
    """
    try:
        node, value = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise SourceError(f"{name}{where}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(value, dict):
        raise SourceError(f"{name}: expected a mapping that describes a source")
    errors = sorted(_validator().iter_errors(value), key=lambda error: [str(step) for step in error.absolute_path])
    found = [(list(each.absolute_path), _explained(each)) for each in errors]
    found = found or list(_wrong_values(value))
    if found:
        problems = [f"{name}:{_line(node, path)}: {'.'.join(map(str, path)) or 'source'}: {why}" for path, why in found]
        raise SourceError("\n".join([*problems, "hint: `tritrace data sources --show vlguard` prints a whole example"]))
    return _built(value)


@cache
def _validator() -> Draft202012Validator:
    schema = files("data").joinpath("sources/source.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(schema))


def _explained(error: ValidationError) -> str:
    inner = best_match(error.context) if error.context else None
    error = inner or error
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        unknown = [key for key in error.instance if key not in known]
        hints = [nearest(str(key), known) or f"known are {', '.join(known)}" for key in unknown]
        return "; ".join(f"unknown key {key!r}; {hint}" for key, hint in zip(unknown, hints, strict=True))
    if error.validator == "enum":
        known = [str(each) for each in error.schema["enum"]] if isinstance(error.schema, dict) else []
        hint = nearest(str(error.instance), known)
        return f"expected one of {', '.join(known)}, found {error.instance!r}" + (f"; {hint}" if hint else "")
    return error.message


def _wrong_values(value: Mapping[str, Any]) -> Iterator[tuple[list[str | int], str]]:
    """Yield the label values that do not exist."""
    for number, row in enumerate(value["rows"]):
        for name, expression in row.get("labels", {}).items():
            for found in _constants(expression) if name in _VALUES else ():
                if found is not None and found not in _VALUES[name]:
                    known = ", ".join(_VALUES[name])
                    hint = nearest(str(found), _VALUES[name]) or f"known are {known}"
                    yield ["rows", number, "labels", name], f"{found!r} is no {name}; {hint}"


def _constants(expression: Any) -> Iterable[Any]:
    if isinstance(expression, str):
        return () if "{" in expression else (expression,)
    if "value" in expression:
        return (expression["value"],)
    return (*expression.get("map", {}).values(), *([expression["default"]] if "default" in expression else []))


def _line(node: yaml.Node | None, path: Iterable[str | int]) -> int:
    """Return the line, from 1, of the value at a path."""
    line = node.start_mark.line + 1 if node else 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, inner) for key, inner in node.value}
            if str(step) not in pairs:
                return line
            key, node = pairs[str(step)]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def _built(value: Mapping[str, Any]) -> SourceSpec:
    given = dict(value)
    rows = tuple(RowSpec(**{**row, "images": tuple(row.get("images", ()))}) for row in given.pop("rows"))
    if "hub" in given:
        lists = {key: tuple(each) for key, each in given["hub"].items() if isinstance(each, list)}
        given["hub"] = Hub(given["hub"]["id"], **lists)
    given = {key: tuple(each) if isinstance(each, list) else each for key, each in given.items()}
    return SourceSpec(rows=rows, **given)
