"""`tritrace audit`: checks that an audit log was not changed."""

from pathlib import Path
from typing import Annotated

import typer

from eval.guard.audit import BrokenChainError, verify


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def audit(
    log: Annotated[Path, typer.Argument(help="a log that tritrace chat --audit or a Guard wrote")],
    head: Annotated[str | None, typer.Option(help="the last hash, if you keep it elsewhere")] = None,
) -> None:
    """Check that an audit log was not changed. Exit 0: unchanged; 1: a line was changed, removed or added."""
    try:
        chain = verify(log, head=head)
    except BrokenChainError as error:
        typer.echo(f"broken: {error}")
        raise typer.Exit(1) from None
    typer.echo(f"whole: {chain.count} records, head {chain.head}")
