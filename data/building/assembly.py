"""A data folder made in chunks: drafted beside its place, continued where it was interrupted, published when whole.

    data/                        what readers see
    .data.draft/                 wanted.json, images/, parts/000017.sft.jsonl: a chunk is done when its part is there

A new folder is published by one rename. Into an existing folder the files are moved one by one, `built.json` last, so
that a folder with `built.json` is whole at every moment. `data/building/build.py` decides what a chunk holds.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from data.files.json_lines import file_fingerprint, iterate_rows, read_json, replacing
from data.rows import Query

ItemT = TypeVar("ItemT")
_MARK = "built.json"


@dataclass(frozen=True, slots=True)
class Chunk(Generic[ItemT]):
    """Items whose rows stand together in one file."""

    number: int
    """From 0, in the order of the files and of the rows in them."""
    file: str
    """The file's name without its ending, such as "sft"."""
    items: tuple[ItemT, ...]

    def path(self, draft: Path, file: str) -> Path:
        """Return where a draft keeps the chunk's rows of a file."""
        return draft / "parts" / f"{self.number:06}.{file}.jsonl"


@dataclass(frozen=True, slots=True)
class Draft:
    """A data folder in the making."""

    folder: Path
    wanted: Mapping[str, Any]
    """What the folder is to be, as `built.json` will say."""

    @classmethod
    def beside(cls, folder: Path, wanted: Mapping[str, Any]) -> "Draft":
        """Return the draft of a folder: an earlier draft of the same rows is continued, otherwise a new one begins."""
        place = folder.resolve()
        draft = cls(place.parent / f".{place.name}.draft", wanted)
        if not draft.is_complete and read_json(draft.folder / "wanted.json") != wanted:
            shutil.rmtree(draft.folder, ignore_errors=True)
            with replacing(draft.folder / "wanted.json") as file:
                json.dump(dict(wanted), file)
        return draft

    @property
    def is_complete(self) -> bool:
        """Whether only publishing is left."""
        return bool(_wanted_of(self.folder) == self.wanted)

    def has(self, chunk: Chunk[Any], images: Iterable[str]) -> bool:
        """Whether a chunk is done: its rows are there, and its images."""
        return chunk.path(self.folder, chunk.file).is_file() and all((self.folder / name).is_file() for name in images)

    def complete(self, files: Sequence[str]) -> None:
        """Join the parts of every file, and say what was built."""
        for name in files:
            with (self.folder / f"{name}.jsonl").open("wb") as whole:
                for part in sorted((self.folder / "parts").glob(f"*.{name}.jsonl")):
                    with part.open("rb") as rows:
                        shutil.copyfileobj(rows, whole)
        prints = {name: file_fingerprint(self.folder / f"{name}.jsonl") for name in files}
        with replacing(self.folder / _MARK) as file:
            json.dump({"wanted": dict(self.wanted), "files": prints}, file, indent=1)

    def publish(self, folder: Path) -> None:
        """Put a complete draft in its place."""
        shutil.rmtree(self.folder / "parts", ignore_errors=True)
        (self.folder / "wanted.json").unlink(missing_ok=True)
        if not folder.exists():
            self.folder.rename(folder)
            return
        (folder / _MARK).unlink(missing_ok=True)
        for path in sorted(self.folder.rglob("*"), key=lambda path: path.name == _MARK):
            if path.is_file():
                target = folder / path.relative_to(self.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
        shutil.rmtree(self.folder)


def is_assembled(folder: Path, wanted: Mapping[str, Any]) -> bool:
    """Whether a folder has the wanted content: files by their fingerprints, and every image of its queries."""
    built = read_json(folder / _MARK)
    try:
        prints = {name: file_fingerprint(folder / f"{name}.jsonl") for name in built["files"]}
        if built["wanted"] != wanted or built["files"] != prints:
            return False
        queries = iterate_rows(folder / "queries.jsonl", Query)
        return all((folder / image).is_file() for query in queries for image in query.images)
    except (OSError, ValueError, KeyError, TypeError):  # missing, or written by something else
        return False


def _wanted_of(folder: Path) -> Any:
    built = read_json(folder / _MARK)
    return built.get("wanted") if isinstance(built, dict) else None
