"""Writes rows as Parquet files that `datasets` reads with its own types: messages, label structs and images.

The types of `datasets` are stored in the schema's metadata under "huggingface", in the format of its
`Features.arrow_schema`. So writing needs only pyarrow.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from data.files.json_lines import draft_beside
from data.sources.reading.local import pyarrow

_BATCH = 64

Types = Mapping[str, Any]
"""Column -> "string", "int64", "image", a list of one type, or a mapping for a struct."""

MESSAGES = [{"role": "string", "content": "string"}]
LABELS = {
    **dict.fromkeys(("image_risk", "text_risk", "combined_risk", "category", "decision"), "string"),
    "objects": ["string"],
    "texts": ["string"],
    "facts": ["string"],
    "distractors": ["string"],
}


def write_parquet(path: Path, records: Iterable[Mapping[str, Any]], types: Types) -> int:
    """Write records and return their number. One batch is in memory at a time; the file is replaced at the end.

    Raises:
        SourceError: pyarrow is not installed.
    """
    arrow, parquet = pyarrow()
    features = {name: _feature(each) for name, each in types.items()}
    schema = arrow.schema([(name, _arrow(each, arrow)) for name, each in types.items()])
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    draft = draft_beside(path)
    count = 0
    try:
        with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            for batch in _batches(records):
                writer.write_table(arrow.Table.from_pylist(batch, schema=schema))
                count += len(batch)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def _batches(records: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    rows = iter(records)
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _feature(each: Any) -> Any:
    if each == "image":
        return {"mode": "RGB", "_type": "Image"}
    if isinstance(each, list):
        return {"feature": _feature(each[0]), "_type": "List"}
    if isinstance(each, Mapping):
        return {name: _feature(inner) for name, inner in each.items()}
    return {"dtype": each, "_type": "Value"}


def _arrow(each: Any, arrow: Any) -> Any:
    if each == "image":
        return arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    if isinstance(each, list):
        return arrow.list_(_arrow(each[0], arrow))
    if isinstance(each, Mapping):
        return arrow.struct([(name, _arrow(inner, arrow)) for name, inner in each.items()])
    return {"string": arrow.string(), "int64": arrow.int64()}[each]
