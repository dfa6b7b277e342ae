"""Imports a source: reads records, maps them, stores pictures, drops duplicates, writes `Query` rows; resumable."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from data.files.json_lines import row_to_json
from data.files.locks import held
from data.rows import Provenance, Query
from data.sources.declared.mapping import DroppedError, QueryDraft, drafts_of
from data.sources.declared.spec import SourceSpec
from data.sources.import_files import ImportFiles, ImportProgress, Opened
from data.sources.pictures import PictureStore
from data.sources.reading.local import is_damaged
from data.sources.reading.records import FieldError, Record, SourceError, Unreadable
from data.splits import content_key, is_below

BUILDER = "data.sources 1"
SAVE_EVERY = 200
"""Records between two saves of the progress; after an interruption at most this many are read again."""
GIVE_UP_AFTER = 100
"""If none of the first so many records fits, the source is wrong and the import stops."""
_ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class ImportJob:
    """One import: its source, its options and its output."""

    spec: SourceSpec
    origin: str
    """A path, or "hub:NAME"."""
    split: str
    output: Path
    images: Path
    image_root: Path
    limit: int | None = None
    hold_out: float = 0.0
    """Share (0..1) of the training split that becomes the validation split. Queries about the same picture stay
    together; queries without a picture are divided by their text."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The values that must be equal for an interrupted import to continue."""
        spec = json.loads(json.dumps(asdict(self.spec), default=str))
        own: dict[str, Any] = {
            "origin": self.origin,
            "split": self.split,
            "images": str(self.images),
            "limit": self.limit,
        }
        own |= {"hold_out": self.hold_out} if self.hold_out else {}
        return {"builder": BUILDER, "spec": content_key(json.dumps(spec, sort_keys=True))[:_ID_LENGTH], **own}

    def split_of(self, draft: QueryDraft, pictures: Sequence[str]) -> str:
        """Return the split of a query; the same content always gets the same split."""
        if draft.split != "train" or not self.hold_out:
            return draft.split
        key = content_key("held out", *(pictures or (draft.text,)))
        return "validation" if is_below(key, self.hold_out) else "train"


def run_import(
    job: ImportJob, records: Iterable[Record | Unreadable], tell: Callable[[ImportProgress], None]
) -> ImportProgress:
    """Import a source and return the counts of its records.

    Args:
        job: the import.
        records: all records of the source, from the first one, always in the same order.
        tell: called after every record.

    Raises:
        SourceError: the output already exists, another import is unfinished, or no record fits the declaration.
        LockedError: another process imports to the same output.
        KeyboardInterrupt: passed on after the progress is saved; the same call continues the import.
    """
    with held(job.output):
        return _imported(job, records, tell)


def _imported(
    job: ImportJob, records: Iterable[Record | Unreadable], tell: Callable[[ImportProgress], None]
) -> ImportProgress:
    files = ImportFiles(job.output)
    progress = files.begin(job.fingerprint)
    store = PictureStore(job.images, job.output.parent, job.image_root, notes=progress.pictures)
    with files.open(progress) as pair:
        writer = _Writer(job, progress, store, pair, {row["id"]: _labels_key(row) for row in files.rows()})
        try:
            for record in islice(records, progress.records, job.limit):
                writer.take(record)
                progress.records += 1
                if progress.records % SAVE_EVERY == 0:
                    writer.save(files)
                tell(progress)
                if progress.records == GIVE_UP_AFTER and not progress.written:
                    break
        except SourceError:
            if not progress.records:
                files.discard()
            raise
        finally:
            if progress.records:
                writer.save(files)
    if not progress.written:
        files.discard()
        raise writer.nothing_fits()
    files.finish(_report(job, progress))
    return progress


def _report(job: ImportJob, progress: ImportProgress) -> dict[str, Any]:
    spec = job.spec
    about: dict[str, Any] = {
        "source": spec.name,
        "title": spec.title,
        "licence": spec.licence,
        "citation": spec.citation,
    }
    about |= {"reference": spec.reference, "notes": list(spec.notes), "from": job.origin, "split": job.split}
    counts = {
        "records": progress.records,
        "written": progress.written,
        "left_out": progress.reasons,
        "pictures": progress.pictures,
    }
    return {**about, **counts, "job": job.fingerprint}


class _Writer:
    """Turns records into lines of the output, and of the list of left-out records."""

    def __init__(
        self, job: ImportJob, progress: ImportProgress, store: PictureStore, pair: Opened, labels_by_id: dict[str, str]
    ) -> None:
        self._job, self._progress, self._store = job, progress, store
        self._queries, self._skipped = pair
        self._labels_by_id = labels_by_id
        self._problems: list[str] = []

    def take(self, record: Record | Unreadable) -> None:
        if isinstance(record, Unreadable):
            self._leave_out(record.where, "unreadable", record.reason)
            return
        try:
            for draft in drafts_of(record, self._job.spec):
                self._take_draft(draft, record)
        except DroppedError as error:
            self._leave_out(record.where, str(error), str(error))
        except FieldError as error:
            self._leave_out(record.where, _reason(str(error)), str(error))

    def _take_draft(self, draft: QueryDraft | FieldError, record: Record) -> None:
        try:
            if isinstance(draft, FieldError):
                raise draft
            self._write(draft, record)
        except FieldError as error:
            self._leave_out(record.where, _reason(str(error)), str(error))

    def _write(self, draft: QueryDraft, record: Record) -> None:
        if damaged := [name for name, text in _texts(draft) if is_damaged(text)]:
            raise FieldError(f"{damaged[0]}: holds U+FFFD; another program lost characters there")
        images = tuple(self._store.store(each) for each in draft.images)
        hashes = [Path(each).stem for each in images]
        key = content_key(draft.text, *hashes)[:_ID_LENGTH]
        draft = replace(draft, split=self._job.split_of(draft, hashes))
        query = _query(draft, f"{self._job.spec.name}-{key}", images, self._job.spec, record)
        row = row_to_json(query)
        labels = _labels_key(row)
        if query.id in self._labels_by_id:
            same = self._labels_by_id[query.id] == labels
            reason = "duplicate" if same else "duplicate with other labels"
            self._leave_out(record.where, reason, f"{reason} of {query.id}, which is kept")
            return
        self._labels_by_id[query.id] = labels
        self._queries.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._progress.written += 1

    def _leave_out(self, where: str, reason: str, message: str) -> None:
        self._progress.count(reason)
        self._skipped.write(json.dumps({"where": where, "reason": message}, ensure_ascii=False) + "\n")
        if len(self._problems) < 5:
            self._problems.append(f"{where}: {message}")

    def save(self, files: ImportFiles) -> None:
        for file in (self._queries, self._skipped):
            file.flush()
        self._progress.queries_bytes = os.fstat(self._queries.fileno()).st_size
        self._progress.skipped_bytes = os.fstat(self._skipped.fileno()).st_size
        files.save(self._job.fingerprint, self._progress)

    def nothing_fits(self) -> SourceError:
        spec = self._job.spec
        rows = [" + ".join(sorted(row.columns)) or "no columns" for row in spec.rows]
        hint = f"hint: {spec.name} reads {'; or '.join(dict.fromkeys(rows))}"
        hint += f" ({spec.reference})" if spec.reference else ""
        num_read = self._progress.records
        count = f"none of the first {num_read} records could be used" if num_read else "no records"
        if any("(looked in " in problem for problem in self._problems):
            hint = "hint: --image-root FOLDER says what the paths of pictures are relative to"
        return SourceError("\n".join([f"{self._job.origin}: {count}", *self._problems, hint]))


def _texts(draft: QueryDraft) -> Iterator[tuple[str, str]]:
    """Yield the name and value of every text of a draft that a model would read."""
    yield from (("text", draft.text), ("intent", draft.intent), ("setting", draft.setting))
    yield from ((f"answers.{name}", text) for name, text in draft.answers.items())


def _query(draft: QueryDraft, name: str, images: tuple[str, ...], spec: SourceSpec, record: Record) -> Query:
    return Query(
        id=name,
        text=draft.text,
        kind=draft.kind,
        split=draft.split,
        images=images,
        labels=draft.labels,
        answers=draft.answers,
        intent=draft.intent,
        setting=draft.setting,
        provenance=Provenance(spec.name, spec.licence, BUILDER, citation=spec.citation, origin=_place(record)),
    )


def _place(record: Record) -> str:
    """Return the place of a record without its folders, which depend on the machine."""
    where = record.where if record.where.startswith("hub:") else record.where.rsplit("/", 1)[-1]
    return f"{where}, split {record.split}" if record.split and not where.startswith("hub:") else where


def _reason(message: str) -> str:
    """Return a message without its details, so that equal reasons can be counted together.

    >>> _reason("image: 'a.png': No such file or directory (looked in .)")
    'image: No such file or directory'
    """
    if message.startswith("column "):
        return message.split(";", 1)[0]
    return re.split(r" \(|;|, found", re.sub(r"'[^']*':? ?", "", message))[0].strip()


def _labels_key(row: Mapping[str, Any]) -> str:
    return content_key(json.dumps(row["labels"], sort_keys=True))[:_ID_LENGTH]


def summary_lines(progress: ImportProgress) -> Iterator[str]:
    """Yield the lines of a summary: queries written, and records left out for each reason."""
    yield f"{progress.written} queries from {progress.records} records, {progress.num_skipped} left out"
    for reason, count in Counter(progress.reasons).most_common():
        yield f"  {count} x {reason}"
    for note, count in Counter(progress.pictures).most_common():
        yield f"pictures: {count} x {note}"
