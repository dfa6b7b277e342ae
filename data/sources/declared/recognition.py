"""Recognizes from the columns of a file which source of the catalogue it belongs to."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from data.sources.declared.mapping import DroppedError, QueryDraft, drafts_of
from data.sources.declared.registry import built_in_sources
from data.sources.declared.spec import SourceSpec
from data.sources.reading.records import FieldError, Record

LEAST_COLUMNS = 3
"""Minimum number of columns that a source must read. With two, such as question and image, any table would match."""


class _Watched(dict[str, Any]):
    """The values of a record; remembers which columns were read."""

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        self.read.add(name)
        return value


def recognized(records: Iterable[Record]) -> str | None:
    """Return the source that can read all records and reads the most columns; None if there is none."""
    looked_at = list(records)
    found = {name: _num_columns(looked_at, spec) for name, spec in built_in_sources().items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] >= LEAST_COLUMNS else None


def _num_columns(records: Sequence[Record], spec: SourceSpec) -> int:
    """Return the number of columns that a source reads; 0 if it cannot read a record, or drops all records."""
    split = next((name for name, ours in spec.splits.items() if ours == "train"), next(iter(spec.splits), "train"))
    columns: set[str] = set()
    for record in records:
        values = _Watched(record.values)
        try:
            drafts = list(drafts_of(replace(record, values=values, split=split), spec))
        except DroppedError:
            continue
        except FieldError:
            return 0
        if not drafts or not all(isinstance(each, QueryDraft) for each in drafts):
            return 0
        columns |= values.read
    return len(columns)
