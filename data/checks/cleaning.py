"""A cleaned copy of a checked data set, with the reason for every row that is not in it. Never in place."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.checks.facts import Fault, RowFaultName
from data.checks.lines import Line
from data.checks.run import DROPPED, Check
from data.files.json_lines import RowsError, parse_object, replacing
from data.pictures.images import ImageError, read_image
from protocol.errors import UserError


def write_cleaned(check: Check, target: Path) -> tuple[int, int]:
    """Write the rows without a fault, byte for byte, with their images; return how many were kept and dropped.

    Rows of a query that was dropped are dropped with it. `dropped.jsonl` has one object a dropped row: its file, line,
    id and reasons. Of two rows with one id or content the first is kept; of a leak, the held-out side.

    Args:
        check: a finished check.
        target: a folder that is not there yet, or empty.

    Raises:
        UserError: the target is not empty, or is in the data folder or around it.
    """
    _refuse_in_place(check, target)
    target.mkdir(parents=True, exist_ok=True)
    lost = {name for path in check.files if path.name == "queries.jsonl" for name in _lost_ids(check, path)}
    num_kept = num_dropped = 0
    with replacing(target / DROPPED) as dropped:
        for path in check.files:
            with replacing(target / path.name) as file:
                for line in check.lines_of(path):
                    record = _record(line)
                    reasons = list(check.reasons.get((line.file, line.number), ()))
                    if not reasons and record.get("query_id") in lost:
                        reasons = [Fault(RowFaultName.QUERY, f"its query {record['query_id']} was dropped")]
                    if not reasons:
                        file.write(line.content.decode("utf-8") + "\n")
                        _copy_images(record, check.root, target)
                        num_kept += 1
                        continue
                    told = [{"name": fault.name, "message": fault.message} for fault in reasons]
                    entry = {"file": path.name, "line": line.number, "id": record.get("id"), "reasons": told}
                    dropped.write(json.dumps(entry, ensure_ascii=True) + "\n")
                    num_dropped += 1
    return num_kept, num_dropped


def _refuse_in_place(check: Check, target: Path) -> None:
    source, place = check.root.resolve(), target.resolve()
    if place == source or place.is_relative_to(source) or source.is_relative_to(place):
        raise UserError(f"--fix {target}: a cleaned copy is written beside the data folder, never into it or around it")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UserError(f"--fix {target}: there is something already; name a folder that is not there yet")


def _lost_ids(check: Check, queries: Path) -> Iterator[str]:
    """Yield the ids of dropped queries that no kept query has."""
    kept: set[str] = set()
    lost: set[str] = set()
    for line in check.lines_of(queries):
        name = _record(line).get("id")
        if isinstance(name, str):
            (lost if (line.file, line.number) in check.reasons else kept).add(name)
    yield from lost - kept


def _record(line: Line) -> dict[str, Any]:
    try:
        return dict(parse_object(line.content)) if not line.fault else {}
    except RowsError:
        return {}


def _copy_images(record: dict[str, Any], root: Path, target: Path) -> None:
    for source in record.get("images") or ():
        place = target / source
        if source.startswith("data:") or place.exists():
            continue
        try:
            content = read_image(source, root)
        except ImageError:  # gone since it was checked; the copy's own check will say so
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
