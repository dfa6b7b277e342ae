"""Maps a record to queries: finds the row declarations that apply and evaluates their expressions.

Pictures stay as the record has them: a path, bytes, or a Hub image. `data/sources/pictures.py` stores them later.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from data.sources.declared.expressions import Expression, evaluate, normalized
from data.sources.declared.marks import without_marks
from data.sources.declared.spec import RowSpec, SourceSpec
from data.sources.reading.records import FieldError, Record, has_column, look_up
from protocol.labels import Labels, LabelsError

OUR_SPLITS = ("train", "validation", "test")


class DroppedError(ValueError):
    """The declaration of the source leaves this record out; the reason is counted."""


@dataclass(frozen=True, slots=True)
class QueryDraft:
    """A query whose pictures are not stored yet."""

    text: str
    kind: str
    split: str
    images: tuple[Any, ...]
    labels: Labels
    answers: dict[str, str]
    intent: str
    setting: str


def drafts_of(record: Record, spec: SourceSpec) -> Iterator[QueryDraft | FieldError]:
    """Yield the queries of a record; yield an error instead of a query that does not match the declaration.

    Raises:
        DroppedError: the declaration leaves the record out.
        FieldError: no row declaration applies to the record.
    """
    for rule in spec.drop:
        if _applies(rule["when"], record):
            raise DroppedError(rule["reason"])
    split = _split(record, spec)
    rows = [row for row in spec.rows if _applies(row.when, record)]
    if not rows:
        raise FieldError(f"no entry of `rows` applies; found the columns {', '.join(map(str, record.values))}")
    for row in rows:
        yield from _row_drafts(row, record, split)


def _row_drafts(row: RowSpec, record: Record, split: str) -> Iterator[QueryDraft | FieldError]:
    try:
        items = list(_items(row, record))
    except FieldError as error:
        yield error
        return
    for each in items:
        try:
            yield _draft(row, each, split)
        except FieldError as error:
            yield error


def _items(row: RowSpec, record: Record) -> Iterator[Record]:
    if row.each is None:
        yield record
        return
    items = look_up(record, row.each)
    if not isinstance(items, list | tuple):
        raise FieldError(f"{row.each}: expected a list, found {items!r}")
    for item in items:
        yield replace(record, item=item)


def _applies(when: Mapping[str, Any], record: Record) -> bool:
    return all(_holds(path, expected, record) for path, expected in when.items())


def _holds(path: str, expected: Any, record: Record) -> bool:
    if path in {"has", "lacks"}:
        return all(has_column(record, each) == (path == "has") for each in expected)
    try:
        value = normalized(look_up(record, path))
    except FieldError:
        return False
    options = [normalized(each) for each in (expected if isinstance(expected, list) else [expected])]
    return any(value.startswith(each[:-1]) if each.endswith("*") else value == each for each in options)


def _split(record: Record, spec: SourceSpec) -> str:
    name = str(evaluate(spec.split, record)) if spec.split is not None else record.split
    known = dict(spec.splits) or {each: each for each in OUR_SPLITS}
    if name not in known:
        raise FieldError(f"the split {name!r} is not one of {', '.join(known)}; say which with --split")
    return known[name]


def _draft(row: RowSpec, record: Record, split: str) -> QueryDraft:
    answers = {name: _text(each, record) for name, each in row.answers.items()}
    images = tuple(image for each in row.images for image in _images(each, record))
    return QueryDraft(
        text=_required_text(row.text, record, len(images)),
        kind=str(evaluate(row.kind, record, plain="constant")),
        split=split,
        images=images,
        labels=_labels(row, record),
        answers={name: text for name, text in answers.items() if text},
        intent=_text(row.intent, record),
        setting=_text(row.setting, record),
    )


def _required_text(expression: Expression, record: Record, num_images: int) -> str:
    value = evaluate(expression, record)
    if not isinstance(value, str):
        raise FieldError(f"text: expected a string, found {value!r}")
    if not (text := without_marks(value, num_images).strip()):
        raise FieldError("text: is empty")
    return text


def _text(expression: Expression | None, record: Record) -> str:
    value = None if expression is None else evaluate(expression, record)
    return "" if value is None else str(value).strip()


def _images(expression: Any, record: Record) -> tuple[Any, ...]:
    is_optional = isinstance(expression, Mapping) and "optional" in expression
    try:
        value = evaluate(expression["optional"] if is_optional else expression, record)
    except FieldError:
        if is_optional:
            return ()
        raise
    if value is None or value == "":
        if is_optional:
            return ()
        raise FieldError(f"image: {expression} is null")
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _labels(row: RowSpec, record: Record) -> Labels:
    values = {}
    for name, expression in row.labels.items():
        if isinstance(expression, list):
            values[name] = [str(evaluate(each, record)) for each in expression]
        else:
            values[name] = evaluate(expression, record, plain="constant")
    try:
        return Labels.from_json(values)
    except LabelsError as error:
        raise FieldError(str(error)) from None
