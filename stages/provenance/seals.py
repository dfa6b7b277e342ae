"""The seal of an export: one hash over all its files, which is printed, and kept in the stage's folder.

The export's own hashes (`export.json`, `manifests/`) detect damage, and a change of a single file. A change of both the
weights and `export.json` is detected only with a hash that is kept elsewhere: in the stage's folder, or by a person.
"""

import hashlib
import json
from pathlib import Path

from data.files.json_lines import read_json_object, replacing
from stages.progress import say

RECORD = "exports.json"
"""File in a stage's folder: folder of an export -> its seal."""


def seal_of(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
        digest.update(path.relative_to(folder).as_posix().encode(errors="surrogateescape") + b"\0" + found)
    return digest.hexdigest()


def record_seal(stage: Path, export: Path, seal: str) -> None:
    """Store the seal of an export in the stage's folder; print a message if that is not possible."""
    seals = recorded_seals(stage) | {str(export.resolve()): seal}
    try:
        with replacing(stage / RECORD) as file:
            file.write(json.dumps(seals, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        say(f"export: its seal is not kept in {stage} ({error.strerror}); keep it yourself")


def recorded_seals(stage: Path) -> dict[str, str]:
    """Return the seals of a stage's exports by their folders; {} if there are none, or if the file is damaged."""
    return {name: seal for name, seal in read_json_object(stage / RECORD).items() if isinstance(seal, str)}
