"""Checks pieces and returns the text to print, in this process or in several; text and order are the same.

Pieces are sent to processes in batches, to keep the overhead small. The number of pending batches is limited, to keep
memory constant.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field

from data.workers import LostItemsError, map_in_order
from protocol import Plan, diagnose
from protocol.diagnostics import printable
from protocol.errors import UserError
from stages.cli.validate.formats import Format, printer_by_format
from stages.cli.validate.pieces import Piece, UnreadablePiece
from stages.cli.validate.records import read_record
from stages.cli.validate.tally import Tally

Batch = tuple[Piece | UnreadablePiece, ...]
_MAX_PIECES = 64
_MAX_BYTES = 1 << 18


class LostWorkerError(UserError):
    """A worker process died; the message says at which part of the input."""


@dataclass(slots=True)
class Checked:
    """The text to print about a batch, and its counts."""

    entries: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Lines for standard error: the records that could not be read."""
    tally: Tally = field(default_factory=Tally)
    num_bytes: int = 0
    """Size of the batch as it was read."""


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks responses and formats their verdicts; responses without their own plan are checked under `plan`."""

    plan_text: str
    """Canonical JSON, which is cheap to send to another process."""
    format: Format

    def __call__(self, batch: Batch) -> Checked:
        """Check a batch."""
        checked, printer, fallback = Checked(), printer_by_format[self.format], Plan.from_json(self.plan_text)
        for piece in batch:
            checked.num_bytes += len(piece.content) if isinstance(piece, Piece) else 0
            record = read_record(piece) if isinstance(piece, Piece) else piece
            if isinstance(record, UnreadablePiece):
                checked.tally.num_unreadable += 1
                checked.complaints.append(printable(f"{record.source}:{record.line}: {record.reason}"))
                checked.entries += printer.unreadable_entries(record)
            else:
                verdict = diagnose(record.response, record.plan or fallback, record.labels, record.query)
                checked.tally.add(record.piece, verdict)
                checked.entries += printer.entries(record, verdict)
        return checked


def check_all(
    pieces: Iterable[Piece | UnreadablePiece], checker: Callable[[Batch], Checked], jobs: int
) -> Generator[Checked, None, None]:
    """Yield the results of `checker` for all pieces, in order; `jobs` is the number of processes.

    Close the iterator if it is not read to its end; this ends the processes.

    Raises:
        LostWorkerError: a process was killed or crashed.
    """
    if jobs == 1:
        return (checker((piece,)) for piece in pieces)
    return _in_processes(_batches(pieces), checker, jobs)


def _batches(pieces: Iterable[Piece | UnreadablePiece]) -> Iterator[Batch]:
    batch: list[Piece | UnreadablePiece] = []
    num_bytes = 0
    for piece in pieces:
        batch.append(piece)
        num_bytes += len(piece.content) if isinstance(piece, Piece) else 0
        if len(batch) >= _MAX_PIECES or num_bytes >= _MAX_BYTES:
            yield tuple(batch)
            batch, num_bytes = [], 0
    if batch:
        yield tuple(batch)


def _in_processes(
    batches: Iterable[Batch], checker: Callable[[Batch], Checked], jobs: int
) -> Generator[Checked, None, None]:
    try:
        yield from map_in_order(checker, batches, jobs)
    except LostItemsError as lost:
        raise LostWorkerError(_where_lost(lost.items)) from None


def _where_lost(pending: Iterable[Batch]) -> str:
    pieces = [piece for batch in pending for piece in batch]
    first, last = pieces[0], pieces[-1]
    return (
        f"a worker process was killed or crashed while {first.source}:{first.line} to {last.source}:{last.line} were "
        "checked; the output before is correct. hint: --jobs 1 finds the record, and needs the least memory"
    )
