"""`tritrace validate`: checks any number of responses against their plans, in constant memory."""

import io
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import Annotated

import typer
from rich.console import Console
from tqdm import tqdm

from stages.cli.validate.checker import Checked, Checker, check_all
from stages.cli.validate.formats import Format, Printer, printer_by_format
from stages.cli.validate.pieces import expand, num_bytes, read_pieces
from stages.cli.validate.records import plan_option
from stages.cli.validate.tally import Tally, summary, tables

INTERRUPTED = 128 + signal.SIGINT
NOBODY_READS = 141
"""128 + SIGPIPE: the exit code when the reader of the output has gone, such as `| head`."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(validate)


def validate(
    files: Annotated[
        list[str], typer.Argument(help=".jsonl, .json, .txt, a pattern such as 'runs/**/*.jsonl', or - for stdin")
    ],
    plan: Annotated[str, typer.Option(help="plan for responses without one: a JSON file, or a name")] = "any",
    output: Annotated[Format, typer.Option("--format", help="text, JSON Lines, or a SARIF log")] = Format.TEXT,
    stats: Annotated[bool, typer.Option("--stats", help="count the codes, and name the worst records")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="processes to check with")] = 1,
) -> None:
    """Check responses against their plans. Exit 0: all valid; 1: some invalid; 2: some unreadable."""
    checker, sources = Checker(plan_option(plan).to_json(), output), expand(files)
    pieces, tally = chain.from_iterable(map(read_pieces, sources)), Tally()
    _prepare_output(output)
    try:
        with closing(check_all(pieces, checker, jobs)) as checked:
            exit_code = _print_all(checked, printer_by_format[output], tally, num_bytes(sources))
    except BrokenPipeError:
        # Python would try to write buffered text at its end and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(NOBODY_READS) from None
    typer.echo(f"{'interrupted: ' if exit_code == INTERRUPTED else ''}{summary(tally)}", err=True)
    if stats:
        console = Console(stderr=True, highlight=False)
        for table in tables(tally):
            console.print(table)
    raise typer.Exit(exit_code)


def _prepare_output(output: Format) -> None:
    """Make every file name and record printable; JSON is always UTF-8."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding = None if output is Format.TEXT else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")


def _print_all(checked: Iterable[Checked], printer: Printer, tally: Tally, total: int | None) -> int:
    """Print and count all results as they arrive; return the exit code. A log is closed even after an error."""
    exit_code, separator = 2, ""
    try:
        _write(printer.opening())
        for each in _with_progress(checked, total):
            tally.merge(each.tally)
            if each.entries:
                _write(separator + printer.separator.join(each.entries))
                separator = printer.separator
            for complaint in each.complaints:
                tqdm.write(complaint, file=sys.stderr)
        exit_code = tally.exit_code
    except KeyboardInterrupt:
        exit_code = INTERRUPTED
    finally:
        _write(printer.closing(exit_code))
    return exit_code


def _write(text: str) -> None:
    if text:
        tqdm.write(text, file=sys.stdout, end="")
        sys.stdout.flush()


def _with_progress(checked: Iterable[Checked], total: int | None) -> Iterator[Checked]:
    """Show a progress bar on a terminal, in bytes of the input, and nothing in a log."""
    with tqdm(total=total, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for each in checked:
            yield each
            bar.update(each.num_bytes)
