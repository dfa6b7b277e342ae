"""The output of commands: a console with one width in every log, and a progress bar for terminals."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from tqdm import tqdm

WIDTH_OF_A_LOG = 120


def plain_console() -> Console:
    """Return a console as wide as the terminal, or as `WIDTH_OF_A_LOG` elsewhere; it highlights nothing."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_LOG)


@contextmanager
def progress_bar(total: int | None, unit: str) -> Iterator[Callable[[int], object]]:
    """Show a progress bar on a terminal, and nothing in a log; yields a function that takes the number of units."""
    with tqdm(total=total, unit=unit, unit_scale=unit == "B", disable=None, leave=False) as bar:
        yield bar.update
