"""`tritrace data sources` and `tritrace data import`: public sets, and one's own, as query rows."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from data.sources.hub import read_hub
from data.sources.import_files import Progress
from data.sources.importing import Job, run_import, summary_lines
from data.sources.local import read_local
from data.sources.records import SourceError
from data.sources.registry import built_in_sources, find_source, source_text
from data.sources.spec import Hub, SourceSpec

_HUB = "hub:"


def add_to(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("sources")(sources)
    group.command("import")(import_source)


def sources(
    show: Annotated[str | None, typer.Option(help="print the YAML of this source: an example to start from")] = None,
) -> None:
    """List the data sets that `tritrace data import` knows: licence, modality, labels."""
    if show is not None:
        typer.echo(source_text(find_source(show).name), nl=False)
        return
    table = Table(box=box.SIMPLE_HEAD, caption="What is known to be wrong with a set, and what is done: --show NAME.")
    for column in ("name", "licence", "modality", "labels"):
        table.add_column(column, overflow="fold")
    for spec in built_in_sources().values():
        table.add_row(spec.name, spec.licence, spec.modality, ", ".join(spec.label_names) or "none")
    Console(highlight=False).print(table)


def import_source(
    name: Annotated[str, typer.Argument(help="a name from `tritrace data sources`, or a YAML file of your own")],
    *,
    origin: Annotated[str, typer.Option("--from", help="a file, a folder, hub: (the set's own place) or hub:NAME")],
    output: Annotated[Path, typer.Option(help="the file of query rows to write")],
    split: Annotated[str, typer.Option(help="which of the source's splits this is")] = "",
    config: Annotated[list[str] | None, typer.Option(help="configurations on the Hub, if not the set's own")] = None,
    images: Annotated[
        Path | None, typer.Option(help="folder for the pictures  [default: images/ beside OUTPUT]")
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="what paths of pictures are relative to  [default: the folder of --from]")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="read at most so many records")] = None,
    hold_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="part of the training split that is held out, as validation")
    ] = 0.0,
) -> None:
    """Import a data set as query rows, with its pictures. Interrupt it at will; the same command goes on.

    Records that cannot be used are left out, each with place and reason in OUTPUT.skipped.jsonl.
    """
    spec = find_source(name)
    is_hub = origin.startswith(_HUB)
    place = Path(origin)
    job = Job(
        spec=spec,
        origin=origin,
        split=split,
        output=output,
        images=images or output.parent / "images",
        image_root=image_root or (Path.cwd() if is_hub else place if place.is_dir() else place.parent),
        limit=limit,
        hold_out=hold_out,
    )
    records = read_hub(_hub(spec, origin, config), split) if is_hub else read_local(place, split)
    with tqdm(desc=spec.name, unit=" records", total=limit, disable=None) as bar:

        def tell(progress: Progress) -> None:
            bar.update(progress.records - bar.n)
            bar.set_postfix(written=progress.written, left_out=progress.num_skipped, refresh=False)

        try:
            progress = run_import(job, records, tell)
        except KeyboardInterrupt:
            typer.echo(f"\n{output}: interrupted; the same command goes on where this one stopped", err=True)
            raise typer.Exit(130) from None
    for line in summary_lines(progress):
        typer.echo(line, err=True)
    if progress.num_skipped:
        typer.echo(f"each with place and reason: {output}.skipped.jsonl", err=True)


def _hub(spec: SourceSpec, origin: str, configs: list[str] | None) -> Hub:
    name = origin.removeprefix(_HUB) or (spec.hub.id if spec.hub else "")
    if not name:
        raise SourceError(f"{spec.name}: has no place on the Hub that its columns were confirmed for; give hub:NAME")
    own = spec.hub if spec.hub and spec.hub.id == name else Hub(name)
    return replace(own, configs=tuple(configs)) if configs else own
