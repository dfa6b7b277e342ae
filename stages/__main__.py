"""`tritrace`, also `python -m stages`: registers every command and prints the error message for a user's mistake.

Exit codes: 0 done; 1 some responses or rows are invalid; 2 wrong usage, unreadable input or unwritable output; 75 the
disk is full; 130 interrupted; 141 the reader of the output has gone (`| head`).
"""

import io
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from protocol.errors import UserError
from stages.cli.ask import audit, chat, plan, serve
from stages.cli.next_step import way_back
from stages.cli.results import (
    agreement,
    compare,
    evaluate,
    harness,
    manifest,
    report,
    rewards,
    runs,
    tasks,
    trace,
)
from stages.cli.rows import data
from stages.cli.train import curriculum, experiment, export, fit, grid, init, preflight, stage
from stages.cli.validate import explain, schema, validate
from stages.cli.validate.validate import NOBODY_READS
from stages.lifecycle.disk_full import EXIT_CODE, is_disk_full
from toolkit.secrets import redacted

app = typer.Typer(
    name="tritrace",
    help="Teach a vision-language model to write a machine-checkable safety trace before it answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
curriculum.add_to(app)
stage.add_to(app)
evaluate.add_to(app)
tasks.add_to(app)
experiment.add_to(app)
grid.add_to(app)
report.add_to(app)
compare.add_to(app)
agreement.add_to(app)
validate.add_to(app)
schema.add_to(app)
explain.add_to(app)
plan.add_to(app)
data.add_to(app)
rewards.add_to(app)
chat.add_to(app)
audit.add_to(app)
preflight.add_to(app)
fit.add_to(app)
init.add_to(app)
manifest.add_to(app)
export.add_to(app)
runs.add_to(app)
trace.add_to(runs.app)
harness.add_to(app)
serve.add_to(app)


def main() -> None:
    """Run a command; typer prints usage errors."""
    _open_streams()
    if not sys.warnoptions:  # -W or PYTHONWARNINGS also shows warnings of libraries
        warnings.showwarning = _show_warning
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a failure is reported here, not when Python ends
    except UserError as error:
        cause = error.__cause__ or error.__context__
        _end(_with_way_back(str(error)), EXIT_CODE if cause is not None and is_disk_full(cause, Path.cwd()) else 2)
    except SystemExit:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # click uses it with exit code 1 when the reader has gone
            _end("", NOBODY_READS)
        raise
    except BrokenPipeError:
        _end("", NOBODY_READS)
    except OSError as error:
        _end(_words(error), EXIT_CODE if is_disk_full(error, Path.cwd()) else 2)
    except Exception as error:
        if not is_disk_full(error, Path.cwd()):  # libraries report a full disk with their own errors
            raise
        _end((str(error).strip() or type(error).__name__).splitlines()[0], EXIT_CODE)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Print our own warnings as a line; hide warnings of libraries, which users cannot act on."""
    if category.__module__.split(".")[0] in {"eval", "stages"}:
        sys.stderr.write(f"tritrace: warning: {redacted(str(message))}\n")


def _open_streams() -> None:
    """Make printing safe if an output stream is closed, or if its encoding lacks a character.

    The next opened file would get the descriptor of a closed stream, and printed text would go into that file.
    """
    closed = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    for name in closed:
        setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "stdout" in closed:
        _end("standard output is closed; redirect it to a file, or to /dev/null", 2)


def _with_way_back(message: str) -> str:
    """Return a message with the command to give instead, where the place is on the way that `tritrace init` wrote."""
    command = way_back(sys.argv[1:])
    return f"{message}\nnext: {command}" if command else message


def _words(error: OSError) -> str:
    """Return what failed and where, without the error number."""
    place = f"{error.filename}: " if error.filename is not None else ""
    full = "; free some of the disk, and run the same command again" if is_disk_full(error, Path.cwd()) else ""
    return f"{place}{error.strerror or error}{full}"


def _end(message: str, code: int) -> NoReturn:
    """Print the error and end; output that could not be printed before is dropped."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if message:
        with suppress(OSError):
            console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
            console.print(f"tritrace: error: {redacted(message)}", style="red")
    sys.exit(code)


if __name__ == "__main__":
    main()
