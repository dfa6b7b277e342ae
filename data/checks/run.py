"""Checking a data set from beginning to end: files and folders in, faults as they are found, counts at the end."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from data.checks.counts import Counts
from data.checks.facts import WARNINGS, Fault, RowFaultName
from data.checks.index import Index, SharedFault
from data.checks.lines import MAX_LINE_BYTES, Line, read_lines
from data.checks.pictures import image_fact
from data.checks.rows import RowJudge, labels_of, normalised
from data.files.json_lines import RowsError, parse_object
from data.pictures.images import ImageError
from data.workers import map_in_order
from protocol.errors import UserError

_MAX_LINES, _MAX_BYTES = 64, 1 << 20
"""Of a batch: small enough that memory stays flat, large enough that passing it on costs little."""
DROPPED = "dropped.jsonl"
"""The list of dropped rows in a cleaned copy; not a file of rows."""
_COMPANIONS = (".skipped.jsonl", ".rejected.jsonl", ".responses.jsonl", ".curation.jsonl")
"""Endings of the names of files that stand beside rows and hold no rows."""
_WORDS = ("text", "question", "query", "prompt", "instruction", "problem")
_PICTURES = ("images", "image")


@dataclass(slots=True)
class Check:
    """A check of files in one folder, under way or done."""

    root: Path
    """What images are relative to."""
    files: Sequence[Path]
    against: Mapping[str, Path] = field(default_factory=dict)
    """Evaluation sets by name; none of their queries may be in the files."""
    jobs: int = 1
    max_line_bytes: int = MAX_LINE_BYTES
    counts: Counts = field(default_factory=Counts)
    reasons: dict[tuple[str, int], list[Fault]] = field(default_factory=dict)
    """Every fault that is no mere warning, by file and line."""

    def run(self, on_progress: Callable[[int], object] = lambda _: None) -> Iterator[SharedFault]:
        """Yield every fault: those of single lines in order, then those across rows.

        Args:
            on_progress: called with the number of bytes judged since the last call.

        Raises:
            UserError: an evaluation set cannot be read.
        """
        index = Index()
        for name, path in self.against.items():
            _add_evaluation(index, name, path)
        with closing(self._judged()) as judged:
            for facts_of_batch in judged:
                for facts in facts_of_batch:
                    faults = facts.faults
                    if facts.kind:
                        self.counts.add(facts)
                        faults = (*faults, *index.add(facts, self.root))
                    yield from self._tell(SharedFault(facts.file, facts.line, fault) for fault in faults)
                on_progress(sum(facts.num_bytes for facts in facts_of_batch))
        yield from self._tell(index.leaks())
        yield from self._tell(index.near())

    @property
    def exit_code(self) -> int:
        """0: nothing is wrong; 1: some rows are; 2: something could not be read."""
        return 2 if self.counts.num_unreadable else 1 if self.reasons else 0

    def _judged(self) -> Generator[Any, None, None]:
        image_fact.cache_clear()  # files may have changed since an earlier check in this process
        labels_of.cache_clear()
        queries = self.root / "queries.jsonl"
        judge = RowJudge(self.root.resolve(), queries if queries.is_file() and _is_inside(queries, self.root) else None)
        return map_in_order(judge, _batches(chain.from_iterable(map(self.lines_of, self.files))), self.jobs)

    def lines_of(self, path: Path) -> Iterator[Line]:
        """Yield the lines of one of the files; a link out of the folder is a line with a fault."""
        if _is_inside(path, self.root):
            yield from read_lines(path, self.max_line_bytes)
        else:
            yield Line(str(path), 1, b"", 0, "leaves the data folder; a link to elsewhere is not followed")

    def _tell(self, found: Iterable[SharedFault]) -> Iterator[SharedFault]:
        for each in found:
            self.counts.faults[each.fault.name] += 1
            if each.fault.name not in WARNINGS:
                reasons = self.reasons.setdefault((each.file, each.line), [])
                self.counts.num_faulty += not reasons
                self.counts.num_unreadable += each.fault.name is RowFaultName.UNREADABLE
                reasons.append(each.fault)
            yield each


def check_of(paths: Sequence[Path], *, against: Sequence[str] = (), jobs: int = 1) -> Check:
    """Return the check of a folder's files of rows, or of files of one folder.

    Args:
        paths: a folder, whose `*.jsonl` are checked, or files.
        against: evaluation sets, each as NAME=FILE.
        jobs: processes.

    Raises:
        UserError: nothing to check, files of several folders, or an evaluation set that is not there.
    """
    problems = [f"{path}: there is no such file or folder" for path in paths if not path.exists()]
    sets: dict[str, Path] = {}
    for each in against:
        name, equals, file = each.partition("=")
        if not equals or not name or not Path(file).is_file():
            problems.append(
                f"--against {each}: expected NAME=FILE, such as xstest=xstest.jsonl, and the file to be there"
            )
        elif name in {"train", "validation", "test"}:
            problems.append(f"--against {each}: {name!r} is a split; call the set something else")
        sets[name] = Path(file)
    files = [file for path in paths for file in (_files_in(path) if path.is_dir() else [path])]
    folders = {path.parent.resolve() for path in files}
    if not problems and len(folders) != 1:
        written = "`tritrace data template FOLDER` and `tritrace data build FOLDER` write rows"
        nothing = f"nothing to check: no *.jsonl there; {written}"
        problems.append("give files of one folder at a time" if folders else nothing)
    if problems:
        raise UserError("\n".join(problems))
    return Check(files[0].parent, files, sets, jobs)


def _files_in(folder: Path) -> list[Path]:
    order = {name: place for place, name in enumerate(("queries", "sft", "dpo", "grpo", "validation", "test"))}
    files = [path for path in folder.glob("*.jsonl") if path.name != DROPPED and not path.name.startswith(".")]
    files = [path for path in files if not path.name.endswith(_COMPANIONS)]
    return sorted(files, key=lambda path: (order.get(path.stem, len(order)), path.name))


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links that go in circles
        return False


def _batches(lines: Iterable[Line]) -> Iterator[tuple[Line, ...]]:
    batch: list[Line] = []
    num_bytes = 0
    for line in lines:
        batch.append(line)
        num_bytes += len(line.content)
        if len(batch) >= _MAX_LINES or num_bytes >= _MAX_BYTES:
            yield tuple(batch)
            batch, num_bytes = [], 0
    if batch:
        yield tuple(batch)


def _add_evaluation(index: Index, name: str, path: Path) -> None:
    """Take in a set in whatever columns it has: words under one of `_WORDS`, pictures under one of `_PICTURES`."""
    root, num_read, problems = path.parent.resolve(), 0, []
    for line in read_lines(path):
        try:
            record = parse_object(line.content) if not line.fault else {}
        except RowsError as error:
            problems.append(f"{path}:{line.number}: {error}")
            continue
        words = _words_of(record)
        if line.fault or words is None:
            problems.append(f"{path}:{line.number}: {line.fault or 'no text in any of ' + ', '.join(_WORDS)}")
            continue
        pictures: Any = next((record[key] for key in _PICTURES if record.get(key)), [])
        sources = pictures if isinstance(pictures, list) else [pictures]
        try:
            images = tuple(image_fact(source, root) for source in sources if isinstance(source, str))
        except ImageError as error:
            problems.append(f"{path}:{line.number}: {error}")
            continue
        index.add_evaluation(name, normalised(words), images, root, (name, line.number))
        num_read += 1
    if problems:
        hint = f"hint: a set is JSON Lines with the words under {' or '.join(_WORDS)}, and images beside the file"
        raise UserError("\n".join([*problems[:20], hint]))


def _words_of(record: Mapping[str, Any]) -> str | None:
    for key in _WORDS:
        value = record.get(key)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, list):  # a conversation
            turns = [turn.get("content") for turn in value if isinstance(turn, dict) and turn.get("role") == "user"]
            if words := "\n".join(turn for turn in turns if isinstance(turn, str)):
                return words
    return None


def summary_of(check: Check) -> str:
    """Return one line: how many rows, and how many faults of each name."""
    counts = check.counts
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.faults.items())) or "nothing is wrong"
    return f"{counts.num_rows:,} rows in {len(check.files)} files, {counts.num_faulty:,} to be looked at: {told}"


def report_json(check: Check) -> str:
    """Return the counts of a finished check as JSON text."""
    gaps = {
        name: {slot: getattr(gap, slot) for slot in gap.__slots__} for name, gap in check.counts.length_gaps().items()
    }
    return json.dumps({**check.counts.to_json(), "length_gaps": gaps}, indent=1, ensure_ascii=False)
