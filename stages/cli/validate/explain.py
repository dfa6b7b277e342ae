"""`tritrace explain`: explains a diagnostic."""

from typing import Annotated

import typer

from protocol import codes, explain
from protocol.errors import UserError
from protocol.nearest import nearest


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain_code)


def explain_code(code: Annotated[str, typer.Argument(help="such as G302")]) -> None:
    """Explain a diagnostic, with an example."""
    if code.upper() not in codes():
        hint = nearest(code.upper(), codes())
        raise UserError(f"there is no diagnostic {code!r}. {hint or 'Known are ' + ', '.join(codes())}")
    typer.echo(explain(code.upper()), nl=False)
