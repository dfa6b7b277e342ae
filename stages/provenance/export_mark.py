"""Reads the mark of an export: the file that identifies a folder as an export."""

import json
from pathlib import Path
from typing import Any

MARK = "export.json"
"""The file that identifies an export."""


def read_mark(folder: Path) -> dict[str, Any] | None:
    """Return the content of an export's mark; None if the folder is not an export."""
    try:
        record = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "tritrace_export" in record else None


def exported_files(folder: Path) -> dict[str, str] | None:
    """Return the SHA-256 of an export's files by name; {} for an old export without hashes; None for no export."""
    record = read_mark(folder)
    files = None if record is None else record.get("files", {})
    if not isinstance(files, dict):
        return None
    return {str(name): str(digest) for name, digest in files.items()}


def is_export(folder: Path) -> bool:
    """Whether a folder was written by `tritrace export`."""
    return exported_files(folder) is not None
