"""`tritrace data corruptions`: lists the corruptions, and measures how exact they are."""

from typing import Annotated

import typer
from rich.console import Console

from stages.cli.rows.tables import corruption_table
from stages.cli.terminal import progress_bar


def corruptions(
    rows: Annotated[int, typer.Option(min=0, help="measure each on this number of random rows; 0 only lists them")] = 0,
    seed: Annotated[int, typer.Option(help="seed of the random rows")] = 0,
) -> None:
    """List the corruptions with the codes that they cause; with --rows, measure how often they cause exactly these."""
    from data.corruptions import CORRUPTIONS
    from data.corruptions.precision import Precision, measure_precision, random_examples

    measured: dict[str, Precision] = {}
    if rows:
        # A rare corruption applies to about one row in ten, such as to a loop with room for one more turn.
        examples = list(random_examples(rows, seed))
        with progress_bar(len(CORRUPTIONS), "corruption") as advance:
            for name in CORRUPTIONS:
                measured[name] = measure_precision(name, examples, rows, seed)
                advance(1)
    Console(highlight=False).print(corruption_table(measured))
    raise typer.Exit(int(any(found.share not in {None, 1.0} for found in measured.values())))
