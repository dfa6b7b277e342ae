"""The counts of `tritrace validate`: verdicts, codes, and the records with the most faults."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from protocol import Verdict, codes
from protocol.diagnostics import printable
from stages.cli.validate.pieces import Piece

NUM_WORST = 10
"""Maximum number of records that `--stats` lists."""


@dataclass(frozen=True, slots=True)
class FaultyRecord:
    """A record with diagnostics, and their number by code."""

    source: str
    line: int
    num_errors: int
    """Diagnostics that make the response invalid."""
    count_by_code: Counter[str]

    @property
    def badness(self) -> tuple[int, int]:
        """Sort key, worst first: by errors, then by all diagnostics."""
        return (-self.num_errors, -self.count_by_code.total())


@dataclass(slots=True)
class Tally:
    """Counts over any number of responses, in constant memory."""

    num_valid: int = 0
    num_invalid: int = 0
    num_unreadable: int = 0
    responses_by_code: Counter[str] = field(default_factory=Counter)
    """Code -> number of responses that have it."""
    diagnostics_by_code: Counter[str] = field(default_factory=Counter)
    """Code -> number of diagnostics."""
    worst: list[FaultyRecord] = field(default_factory=list)
    """At most `NUM_WORST` records, worst first; of equals, the earlier one first."""

    @property
    def num_responses(self) -> int:
        """Number of checked responses."""
        return self.num_valid + self.num_invalid

    @property
    def exit_code(self) -> int:
        """0: all valid; 1: some invalid; 2: some unreadable."""
        return 2 if self.num_unreadable else 1 if self.num_invalid else 0

    def add(self, piece: Piece, verdict: Verdict) -> None:
        """Count a verdict."""
        self.num_valid += verdict.is_valid
        self.num_invalid += not verdict.is_valid
        if verdict.diagnostics:
            count = Counter(found.code for found in verdict.diagnostics)
            num_errors = sum(found.is_fatal for found in verdict.diagnostics)
            self.responses_by_code.update(count.keys())
            self.diagnostics_by_code.update(count)
            self._rank([FaultyRecord(piece.source, piece.line, num_errors, count)])

    def merge(self, later: "Tally") -> None:
        """Add the counts of later records."""
        self.num_valid += later.num_valid
        self.num_invalid += later.num_invalid
        self.num_unreadable += later.num_unreadable
        self.responses_by_code.update(later.responses_by_code)
        self.diagnostics_by_code.update(later.diagnostics_by_code)
        self._rank(later.worst)

    def _rank(self, later: list[FaultyRecord]) -> None:
        self.worst = heapq.nsmallest(NUM_WORST, self.worst + later, key=lambda record: record.badness)


def summary(tally: Tally) -> str:
    """Return one line with the number of valid responses and the frequency of each code."""
    share = f" ({100 * tally.num_valid / tally.num_responses:.1f} %)" if tally.num_responses else ""
    unreadable = f", {tally.num_unreadable} unreadable" if tally.num_unreadable else ""
    found = ", ".join(f"{code} in {tally.responses_by_code[code]}" for code in codes() if tally.responses_by_code[code])
    head = f"{tally.num_responses} responses: {tally.num_valid} valid{share}, {tally.num_invalid} invalid{unreadable}"
    return f"{head}; {found}" if found else head


def tables(tally: Tally) -> Iterator[RenderableType]:
    """Yield the tables of `--stats`: codes by number of responses, and the worst records."""
    if not tally.diagnostics_by_code:
        return
    yield _codes_table(tally)
    yield _worst_table(tally)


def _codes_table(tally: Tally) -> Table:
    table = Table("code", "name", box=SIMPLE_HEAD, title="diagnostics", title_justify="left")
    for heading in ("responses", "share", "diagnostics"):
        table.add_column(heading, justify="right")
    for code, num_responses in sorted(tally.responses_by_code.items(), key=lambda item: (-item[1], item[0])):
        share = f"{100 * num_responses / tally.num_responses:.1f} %"
        count = str(tally.diagnostics_by_code[code])
        table.add_row(code, codes()[code].name, str(num_responses), share, count)
    return table


def _worst_table(tally: Tally) -> Table:
    table = Table(box=SIMPLE_HEAD, title="worst records", title_justify="left")
    table.add_column("errors", justify="right")
    table.add_column("where", overflow="fold")
    table.add_column("codes")
    for record in tally.worst:
        found = ", ".join(
            f"{code} x {count}" if count > 1 else code for code, count in sorted(record.count_by_code.items())
        )
        table.add_row(str(record.num_errors), Text(printable(f"{record.source}:{record.line}")), found)
    return table
