"""`tritrace`, also `python -m stages`: every command, and the one place where a user's mistake becomes a message.

Exit codes: 0 done, 1 some responses or rows are invalid, 2 wrong usage or unreadable input, 130 interrupted,
141 nobody reads the output any more (`| head`).
"""

import sys

import typer
from rich.console import Console

from protocol.errors import UserError
from stages.cli import (
    ask,
    chain,
    checking,
    comparing,
    evaluating,
    experimenting,
    export,
    exporting,
    harness,
    importing,
    language,
    planning,
    preflight,
    rewards,
    rows,
    runs,
    tracing,
    training,
)

app = typer.Typer(
    name="tritrace",
    help="Teach a vision-language model to write a machine-checkable safety trace before it answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
training.add_to(app)
evaluating.add_to(app)
experimenting.add_to(app)
comparing.add_to(app)
checking.add_to(app)
language.add_to(app)
planning.add_to(app)
rows.add_to(app)
rewards.add_to(app)
importing.add_to(rows.app)
exporting.add_to(rows.app)
ask.add_to(app)
preflight.add_to(app)
chain.add_to(app)
export.add_to(app)
runs.add_to(app)
tracing.add_to(runs.app)
harness.add_to(app)


def main() -> None:
    """Run a command; usage errors are typer's to print."""
    try:
        app()
    except UserError as error:
        _complain(str(error))
        sys.exit(2)


def _complain(message: str) -> None:
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(
        f"tritrace: error: {message}", style="red"
    )


if __name__ == "__main__":
    main()
