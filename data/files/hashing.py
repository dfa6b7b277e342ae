"""Hashes of files and folders, by content and name."""

import hashlib
from pathlib import Path

_TEMPLATES = "additional_chat_templates/*.jinja"
"""The one subfolder of a model that transformers reads from."""


def hash_folder(folder: Path, pattern: str = "*") -> str:
    """Return the SHA-256 over the names and contents of the files directly in a folder, and of its chat templates."""
    digest = hashlib.sha256()
    paths = [*folder.glob(pattern), *(folder.glob(_TEMPLATES) if pattern == "*" else ())]
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode(errors="surrogateescape") + b"\0" + _digest(path))
    return digest.hexdigest()


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file directly in a folder, by name, and of its chat templates.

    Hidden files and README.md are left out: they decide nothing that is loaded.
    """
    paths = sorted(path for path in (*folder.glob("*"), *folder.glob(_TEMPLATES)) if path.is_file())
    kept = [path for path in paths if not path.name.startswith(".") and path.name != "README.md"]
    return {path.relative_to(folder).as_posix(): _digest(path).hex() for path in kept}


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
