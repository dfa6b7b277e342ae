"""Exports a data folder: writes each row file in the format of another trainer, with its pictures.

A row is left out, and reported with its place, if the format cannot hold it or its picture cannot be used. A file is
skipped, and named, if the format has no rows of its type.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

from data.exchange import formats
from data.exchange.formats import UnfitRowError
from data.exchange.parquet import LABELS, MESSAGES, write_parquet
from data.exchange.reading import BadRow, RowFile, row_files, rows_of
from data.files.json_lines import RowsError, replacing
from data.rows import PreferencePair, RolloutPrompt, SFTRow, TrainingRow
from data.sources.pictures import PictureStore
from data.sources.reading.records import FieldError

TrainerFormat = Literal["trl", "llama-factory", "verl", "easyr1", "ms-swift"]
FORMATS: tuple[str, ...] = get_args(TrainerFormat)

_HELD: dict[str, tuple[type[Any], ...]] = {
    "trl": (SFTRow, PreferencePair, RolloutPrompt),
    "llama-factory": (SFTRow, PreferencePair),
    "verl": (RolloutPrompt,),
    "easyr1": (RolloutPrompt,),
    "ms-swift": (SFTRow, PreferencePair, RolloutPrompt),
}
_EMBEDDING = {"trl", "verl"}
_REWARD_TEXTS = dict.fromkeys(("id", "kind", "plan", "labels", "query"), "string")
_VERL_TYPES = {
    "data_source": "string",
    "prompt": MESSAGES,
    "images": ["image"],
    "ability": "string",
    "reward_model": {"style": "string", "ground_truth": "string"},
    "extra_info": {"index": "int64", "split": "string", **_REWARD_TEXTS},
}


@dataclass(slots=True)
class Exported:
    """What an export did."""

    num_rows: dict[str, int] = field(default_factory=dict)
    """File written -> rows in it."""
    passed_over: list[str] = field(default_factory=list)
    """Row files that were skipped, because the format has no rows of their type."""
    left_out: list[BadRow] = field(default_factory=list)


def export(folder: Path, form: TrainerFormat, output: Path, tell: Callable[[str], None] = lambda _: None) -> Exported:
    """Write every row file of a folder in a format.

    Args:
        folder: the data folder.
        form: one of `FORMATS`.
        output: the folder to write to; it must differ from the data folder.
        tell: called with the name of each file before its rows are written.

    Raises:
        RowsError: there is nothing to export, or `output` equals the data folder.
        SourceError: the format is Parquet, and pyarrow is not installed.
    """
    if output.resolve() == folder.resolve():
        raise RowsError(f"{output}: is the data folder itself; choose another --output")
    done = Exported()
    files = row_files(folder)
    held = [file for file in files if issubclass(file.row_type, _HELD[form])]
    done.passed_over += [f"{file.path.name} ({file.row_type.__name__})" for file in files if file not in held]
    if not held:
        kinds = ", ".join(each.__name__ for each in _HELD[form])
        raise RowsError(f"{folder}: nothing to export; {form} holds {kinds}, found {', '.join(done.passed_over)}")
    with TemporaryDirectory(prefix="tritrace-") as scratch:
        place = Path(scratch) if form in _EMBEDDING else output  # Parquet files contain the pictures
        store = PictureStore(place / "images", place, folder, as_shown=True)  # others decode differently
        for file in held:
            tell(file.name)
            _writers[form](file, output, store, done)
    if form == "llama-factory":
        entries = {f"tritrace_{file.name}": formats.llama_factory_info(file.name, _is_ranking(file)) for file in held}
        with replacing(output / "dataset_info.json") as out:
            json.dump(entries, out, indent=2)
    return done


def _is_ranking(file: RowFile) -> bool:
    return file.row_type is PreferencePair


def _converted(
    file: RowFile, done: Exported, convert: Callable[[Any, int], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the records of a file; add rows that cannot be converted to `done.left_out`."""
    number = 0
    for row in rows_of(file):
        if isinstance(row, BadRow):
            done.left_out.append(row)
            continue
        try:
            record = convert(row, number)
        except (UnfitRowError, FieldError) as error:
            done.left_out.append(BadRow(f"{file.path}: row {row.id}", str(error)))
            continue
        number += 1
        yield record


def _to_trl(file: RowFile, output: Path, store: PictureStore, done: Exported) -> None:
    has_images = any(not isinstance(row, BadRow) and row.images for row in rows_of(file))
    types = _trl_types(file.row_type) | ({"images": ["image"]} if has_images else {})

    def convert(row: TrainingRow, _: int) -> dict[str, Any]:
        record = {name: getattr(row, name) for name in types if name not in {"images", "labels"}}
        record = {name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}
        if isinstance(row, RolloutPrompt):
            record["labels"] = row.labels.to_json()
        return record | ({"images": _embedded(row, store)} if has_images else {})

    path = output / f"{file.name}.parquet"
    done.num_rows[path.name] = write_parquet(path, _converted(file, done, convert), types)


def _trl_types(row_type: type[Any]) -> dict[str, Any]:
    if row_type is RolloutPrompt:
        texts = dict.fromkeys(("id", "query_id", "kind", "plan", "query"), "string")
        return {**texts, "prompt": MESSAGES, "labels": LABELS}
    turns = ("completion",) if row_type is SFTRow else ("chosen", "rejected")
    return {"id": "string", **dict.fromkeys(("prompt", *turns), MESSAGES)}


def _to_verl(file: RowFile, output: Path, store: PictureStore, done: Exported) -> None:
    def convert(row: RolloutPrompt, number: int) -> dict[str, Any]:
        formats.check_marks(row)
        return formats.to_verl(row, _embedded(row, store), number)

    path = output / f"{file.name}.parquet"
    done.num_rows[path.name] = write_parquet(path, _converted(file, done, convert), _VERL_TYPES)


def _embedded(row: TrainingRow, store: PictureStore) -> list[dict[str, Any]]:
    """Return the pictures of a row as structs of bytes and path."""
    names = [store.store(image) for image in row.images]
    return [{"bytes": store.path_of(name).read_bytes(), "path": Path(name).name} for name in names]


def _to_text(ending: str, convert: Callable[[Any, list[str]], dict[str, Any]], *, is_absolute: bool = False) -> Any:
    def write(file: RowFile, output: Path, store: PictureStore, done: Exported) -> None:
        def converted(row: TrainingRow, _: int) -> dict[str, Any]:
            formats.check_marks(row)
            names = [store.store(image) for image in row.images]
            return convert(row, [str((output / name).resolve()) if is_absolute else name for name in names])

        path = output / f"{file.name}{ending}"
        start, between, end = ("[\n", ",\n", "\n]\n") if ending == ".json" else ("", "\n", "\n")
        count = 0
        with replacing(path) as out:
            out.write(start)
            for record in _converted(file, done, converted):
                out.write((between if count else "") + json.dumps(record, ensure_ascii=False))
                count += 1
            out.write(end if count or ending == ".json" else "")
        done.num_rows[path.name] = count

    return write


_writers: dict[str, Callable[[RowFile, Path, PictureStore, Exported], None]] = {
    "trl": _to_trl,
    "llama-factory": _to_text(".json", formats.to_llama_factory),
    "verl": _to_verl,
    "easyr1": _to_text(".json", formats.to_easyr1),
    "ms-swift": _to_text(".jsonl", formats.to_ms_swift, is_absolute=True),
}
