"""Writes the data card of a folder: a README.md in the format of the Hugging Face Hub.

Every entry is computed. Sizes, splits, kinds and labels are counted. Licences and citations come from the provenance of
the rows. The records that an import left out come from its report.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.exchange.reading import BadRow, row_files, rows_of
from data.files.json_lines import RowsError, read_json_object, replacing
from data.rows import Provenance, Row
from data.sources.reading.records import SourceError
from protocol.templates import plain_template
from toolkit.catalogue import fingerprint

MARK = "Written by `tritrace data card`; write it anew instead of editing it."
_ROW_NAMES = {
    "SFTRow": "SFT: prompt and completion",
    "PreferencePair": "DPO: prompt, chosen and rejected",
    "RolloutPrompt": "GRPO or evaluation: prompt, plan and labels",
    "Query": "queries with labels",
}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_HUB_LICENCES = {"apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc0-1.0"}
_HUB_LICENCES |= {"odc-by", "bsd-3-clause", "unknown"}
_MOST_ROWS = 10**15
"""A larger number in a report is ignored: it cannot be a count."""
_NO_LICENCE = {"", "unknown"}


@dataclass(slots=True)
class FileCounts:
    """What is in one file."""

    name: str
    row: str
    num_rows: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Contents:
    """What is in a folder."""

    files: list[FileCounts] = field(default_factory=list)
    sources: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(source, licence, citation) -> rows."""
    builders: set[str] = field(default_factory=set)
    labels: Counter[str] = field(default_factory=Counter)
    """Label -> number of rows in which it is known."""
    num_labelled: int = 0
    images: set[str] = field(default_factory=set)
    num_bad: int = 0

    def add(self, row: Row, file: FileCounts) -> None:
        """Count a row."""
        file.num_rows += 1
        file.splits[row.split] += 1
        file.kinds[row.kind] += 1
        provenance = row.provenance or Provenance("unknown", "unknown", "unknown")
        self.sources[provenance.source, provenance.licence, provenance.citation] += 1
        self.builders.add(provenance.builder)
        self.images.update(row.images)
        if (labels := getattr(row, "labels", None)) is not None:
            self.num_labelled += 1
            self.labels.update(name for name, value in labels.to_json().items() if value is not None)


def write_card(folder: Path, output: Path | None = None) -> Path:
    """Write the data card of a folder and return its path.

    Raises:
        RowsError: the folder holds no rows, or it has a README.md that this command did not write.
        SourceError: huggingface_hub is not installed.
    """
    path = output or folder / "README.md"
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        hint = "move it or choose another --output"
        raise RowsError(f"{path}: already exists and was not written by this command; {hint}")
    text = card(folder)
    with replacing(path) as file:
        file.write(text)
    return path


def card(folder: Path) -> str:
    """Return the data card of a folder: YAML front matter, then Markdown.

    Raises:
        RowsError: the folder holds no rows.
        SourceError: huggingface_hub is not installed.
    """
    found = contents(folder)
    return f"---\n{_front_matter(found, folder)}\n---\n{_body(found, folder)}"


def contents(folder: Path) -> Contents:
    """Count what is in a folder, one row in memory at a time."""
    found = Contents()
    for file in row_files(folder):
        counts = FileCounts(file.path.name, _ROW_NAMES[file.row_type.__name__])
        for row in rows_of(file):
            if isinstance(row, BadRow):
                found.num_bad += 1
            else:
                found.add(row, counts)
        found.files.append(counts)
    return found


def _front_matter(found: Contents, folder: Path) -> str:
    try:
        from huggingface_hub import DatasetCardData
    except ImportError:
        raise SourceError("a data card needs huggingface_hub; install it with: pip install 'tritrace[data]'") from None
    licences = sorted({_hub_licence(licence) for _, licence, _ in found.sources})
    data = DatasetCardData(
        pretty_name=_title(folder),
        license=licences[0] if len(licences) == 1 else licences,
        language="en",
        task_categories=["image-text-to-text" if found.images else "text-generation"],
        size_categories=[_size(sum(file.num_rows for file in found.files))],
        tags=["safety", "virtual-tools", "tritrace"],
        configs=[
            {"config_name": Path(file.name).stem, "data_files": [{"split": "train", "path": file.name}]}
            for file in found.files
        ],
    )
    return str(data.to_yaml())


def _body(found: Contents, folder: Path) -> str:
    built = _plain(read_json_object(folder / "built.json").get("wanted"))
    sources = [
        {"name": _cell(name), "licence": _cell(licence), "citation": _cell(citation), "num_rows": count}
        for (name, licence, citation), count in found.sources.most_common()
    ]
    return plain_template("data", "exchange/card.md.j2", trims=False).render(
        title=_title(folder),
        mark=MARK,
        files=found.files,
        counts=_counts,
        code=_code,
        num_images=len(found.images),
        sources=sources,
        unknown=sorted({_cell(name) for name, licence, _ in found.sources if licence.casefold() in _NO_LICENCE}),
        reports=_reports(folder),
        builders=sorted(map(_cell, found.builders)),
        protocol=built.get("protocol", fingerprint()),
        is_recorded="protocol" in built,
        built={key: value for key, value in built.items() if key != "protocol"},
        labels=dict(found.labels),
        num_labelled=found.num_labelled,
        num_bad=found.num_bad,
    )


def _reports(folder: Path) -> list[dict[str, Any]]:
    """Return the reports of imports. The files are not trusted: each value becomes plain text or a count."""
    found = (read_json_object(path) for path in sorted(folder.glob("*.import.json")))
    return [_report(each) for each in found if each]


def _report(said: Mapping[str, Any]) -> dict[str, Any]:
    notes, left_out = said.get("notes"), said.get("left_out")
    return {
        **{name: _cell(str(said.get(name) or "")) for name in ("title", "split", "reference")},
        "source": _cell(str(said.get("source") or "?")),
        "place": _code(str(said.get("from") or "?")),
        **{name: _number(said.get(name)) for name in ("written", "records")},
        "left_out": {_cell(str(reason)): _number(count) for reason, count in _items(left_out)},
        "notes": [_cell(str(note)) for note in notes] if isinstance(notes, list) else [],
    }


def _plain(value: Any) -> dict[str, str]:
    return {_code(str(key)): _code(str(each)) for key, each in _items(value)}


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else ()


def _number(value: Any) -> int:
    return value if isinstance(value, int) and abs(value) < _MOST_ROWS else 0


def _counts(counts: Mapping[str, int], most: int = 8) -> str:
    """Write counts, the largest first.

    >>> _counts({"train": 2, "test": 1})
    'train 2, test 1'
    """
    ranked = Counter(counts).most_common()
    rest = [f"{len(ranked) - most} more"] if len(ranked) > most else []
    return ", ".join([*(f"{_cell(name)} {count:,}" for name, count in ranked[:most]), *rest])


def _cell(text: str) -> str:
    """Return a text with the characters escaped that would break a Markdown table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _code(text: str) -> str:
    """Return a text with the characters replaced that would end inline code in Markdown."""
    return _cell(text).replace("`", "'")


def _hub_licence(licence: str) -> str:
    name = licence.casefold()
    return name if name in _HUB_LICENCES else "other"


def _size(count: int) -> str:
    return next((name for bound, name in _SIZES if count < bound), "n>1M")


def _title(folder: Path) -> str:
    return f"Tritrace rows: {folder.resolve().name}"
