"""`tritrace data sources` and `tritrace data import`: read public sets, and the user's own, as query rows."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from data.sources.declared.registry import built_in_sources, find_source, source_text
from data.sources.declared.spec import Hub, SourceSpec
from data.sources.hub import read_hub
from data.sources.import_files import ImportProgress
from data.sources.importing import ImportJob, run_import, summary_lines
from data.sources.reading.local import read_local
from data.sources.reading.records import SourceError

_HUB = "hub:"


def add_to(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("sources")(sources)
    group.command("import")(import_source)


def sources(
    show: Annotated[str | None, typer.Option(help="print the YAML of this source, for example as a template")] = None,
) -> None:
    """List the data sets that `tritrace data import` knows: licence, modality, labels."""
    if show is not None:
        typer.echo(source_text(find_source(show).name), nl=False)
        return
    table = Table(box=box.SIMPLE_HEAD, caption="--show NAME prints the known faults of a set and how they are handled.")
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
    split: Annotated[str, typer.Option(help="the source's name of this split")] = "",
    config: Annotated[list[str] | None, typer.Option(help="configurations on the Hub, if not the set's own")] = None,
    images: Annotated[
        Path | None, typer.Option(help="folder for the pictures  [default: images/ beside OUTPUT]")
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="folder that picture paths are relative to  [default: the folder of --from]")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="maximum number of records to read")] = None,
    hold_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="share of the training split to hold out for validation")
    ] = 0.0,
) -> None:
    """Import a data set as query rows, with its pictures. After an interruption, the same command continues.

    Records that cannot be used are left out; OUTPUT.skipped.jsonl lists them with place and reason.
    """
    spec = find_source(name)
    is_hub = origin.startswith(_HUB)
    place = Path(origin)
    job = ImportJob(
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

        def tell(progress: ImportProgress) -> None:
            bar.update(progress.records - bar.n)
            bar.set_postfix(written=progress.written, left_out=progress.num_skipped, refresh=False)

        try:
            progress = run_import(job, records, tell)
        except KeyboardInterrupt:
            typer.echo(f"\n{output}: interrupted; the same command continues", err=True)
            raise typer.Exit(130) from None
    for line in summary_lines(progress):
        typer.echo(line, err=True)
    if progress.num_skipped:
        typer.echo(f"each with place and reason: {output}.skipped.jsonl", err=True)


def _hub(spec: SourceSpec, origin: str, configs: list[str] | None) -> Hub:
    name = origin.removeprefix(_HUB) or (spec.hub.id if spec.hub else "")
    if not name:
        raise SourceError(f"{spec.name}: no place on the Hub is known whose columns were confirmed; give hub:NAME")
    own = spec.hub if spec.hub and spec.hub.id == name else Hub(name)
    return replace(own, configs=tuple(configs)) if configs else own
