"""Finds the ancestors of a stage and their training rows, as far as the files still exist."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data.files.json_lines import RowsError, read_rows
from data.rows import TrainingRow
from stages.errors import StageError
from stages.provenance.elsewhere import STAGE as ELSEWHERE
from stages.provenance.elsewhere import is_elsewhere, manifest_of
from stages.provenance.manifest import Manifest, read_manifest
from stages.spec import SPECS


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A stage that is an ancestor of another stage, or that stage itself."""

    folder: Path
    manifest: Manifest


def lineage(folder: Path) -> list[Ancestor]:
    """Return a stage and its ancestors, oldest first; if an ancestor is missing, the list starts after it.

    Raises:
        StageError: the stage's own manifest cannot be read.
    """
    found = [Ancestor(folder, read_manifest(folder / "manifest.json"))]
    while (parent := _parent(found[0])) is not None:
        found.insert(0, parent)
    return found


def is_whole(stages: list[Ancestor]) -> bool:
    """Whether a lineage starts at the base."""
    return stages[0].manifest.parent is None


def starts_elsewhere(stages: list[Ancestor]) -> bool:
    """Whether the first adapter of a lineage was trained outside this project."""
    return stages[0].manifest.stage == ELSEWHERE


def rows_of(stage: Ancestor) -> list[TrainingRow]:
    """Return the training rows of a stage; [] if the file is missing or was changed."""
    path = Path(str(stage.manifest.recipe.get("data")))
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != stage.manifest.data.get("rows"):
            return []
        rows: list[TrainingRow] = read_rows(path, SPECS[stage.manifest.stage].row_type)
    except (OSError, RowsError):
        return []
    return rows[: stage.manifest.recipe.get("max_rows")]


def sources_of(rows: list[TrainingRow]) -> Counter[tuple[str, str, str]]:
    """Count rows by (source, licence, citation)."""
    return Counter(
        (row.provenance.source, row.provenance.licence, row.provenance.citation)
        for row in rows
        if row.provenance is not None
    )


def _parent(stage: Ancestor) -> Ancestor | None:
    digest = stage.manifest.parent
    if digest is None:
        return None
    named = Path(str(stage.manifest.recipe.get("parent")))
    if is_elsewhere(named):
        manifest = manifest_of(named, "", stage.manifest.model_revision)
        return Ancestor(named, manifest) if manifest.digest == digest else None
    for place in (named, stage.folder.parent / named.name):  # the whole run may have been moved
        try:
            manifest = read_manifest(place / "manifest.json")
        except StageError:
            continue
        if manifest.digest == digest:
            return Ancestor(place, manifest)
    return None
