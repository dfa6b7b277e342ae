"""The output formats of `tritrace validate`: text, JSON Lines, or a SARIF log."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

from protocol import LANGUAGE_VERSION, Verdict, sarif
from protocol.diagnostics import printable, show
from stages.cli.validate.pieces import UnreadablePiece
from stages.cli.validate.records import ResponseRecord


class Format(StrEnum):
    """The formats by name."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


class Printer(Protocol):
    """One format: entries between an opening and a closing text; a record has one entry or more."""

    separator: str
    """Text between two entries."""

    def opening(self) -> str:
        """Return the text before the first entry."""

    def closing(self, exit_code: int) -> str:
        """Return the text after the last entry."""

    def entries(self, record: ResponseRecord, verdict: Verdict) -> Iterator[str]:
        """Yield the entries of a response."""

    def unreadable_entries(self, record: UnreadablePiece) -> Iterator[str]:
        """Yield the entries of a record that could not be read, in addition to the line on standard error."""


class _Lines:
    """Base of the formats without opening and closing text."""

    separator = ""

    def opening(self) -> str:
        return ""

    def closing(self, exit_code: int) -> str:
        del exit_code
        return ""

    def unreadable_entries(self, record: UnreadablePiece) -> Iterator[str]:
        del record
        yield from ()


class TextPrinter(_Lines):
    """Diagnostics with their carets; a response without diagnostics has no entry."""

    def entries(self, record: ResponseRecord, verdict: Verdict) -> Iterator[str]:
        """Yield one entry for a response with diagnostics."""
        if verdict.diagnostics:
            state = "valid, but" if verdict.is_valid else "invalid"
            shown = "\n".join(show(found, record.response) for found in verdict.diagnostics)
            head = printable(f"{record.piece.source}:{record.piece.line}: {state}")
            yield f"{head}\n  " + shown.replace("\n", "\n  ") + "\n"


class JSONPrinter(_Lines):
    """One JSON object per line, for each response."""

    def entries(self, record: ResponseRecord, verdict: Verdict) -> Iterator[str]:
        """Yield the line."""
        line = {
            "source": record.piece.source,
            "line": record.piece.line,
            "valid": verdict.is_valid,
            "calls": len(verdict.reading.calls),
            "diagnostics": [found.to_json() for found in verdict.diagnostics],
        }
        yield json.dumps(line, ensure_ascii=False) + "\n"


class SarifPrinter:
    """A SARIF log with a result for each diagnostic."""

    separator = sarif.SEPARATOR

    def opening(self) -> str:
        """Return the beginning of the log, with a rule for each code."""
        return sarif.opening(str(LANGUAGE_VERSION))

    def closing(self, exit_code: int) -> str:
        """Return the end of the log."""
        return sarif.closing(exit_code)

    def entries(self, record: ResponseRecord, verdict: Verdict) -> Iterator[str]:
        """Yield the results of a response."""
        piece = record.piece
        for found in verdict.diagnostics:
            line, column = (found.line, found.column) if piece.is_raw else (piece.line, piece.column)
            yield sarif.result(found, record.response, sarif.Place(piece.source, line, column))

    def unreadable_entries(self, record: UnreadablePiece) -> Iterator[str]:
        """Yield its result."""
        yield sarif.unreadable(record.reason, sarif.Place(record.source, record.line, record.column))


printer_by_format: dict[Format, Printer] = {
    Format.TEXT: TextPrinter(),
    Format.JSON: JSONPrinter(),
    Format.SARIF: SarifPrinter(),
}
