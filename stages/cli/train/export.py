"""`tritrace export`: writes a trained stage as a folder that can be loaded without this project."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import UserError
from stages.cli.next_step import tell_next
from stages.cli.options import PermissionOptions, from_options


class Dtype(StrEnum):
    """Dtype of a merged model."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(from_options(export))


@dataclass(frozen=True, kw_only=True)
class StageExportOptions:
    """Options of `tritrace export`."""

    stage: Annotated[Path, typer.Argument(help="a stage's folder, such as runs/pocket/seed-0/grpo")]
    to: Annotated[Path, typer.Option(help="folder to write")]
    merge: Annotated[bool, typer.Option(help="write a whole model, with the adapter merged into its weights")] = False
    dtype: Annotated[Dtype, typer.Option(help="of a merged model; auto is the recipe's or the base's")] = Dtype.AUTO
    permissions: PermissionOptions
    overwrite: Annotated[bool, typer.Option(help="replace an earlier export there")] = False
    licence: Annotated[str | None, typer.Option(help="licence on the card  [default: the base's, if known]")] = None
    push: Annotated[str | None, typer.Option(help="upload to this repository of the Hub, as private")] = None
    public: Annotated[bool, typer.Option("--public", help="make the repository public")] = False
    gguf: Annotated[Path | None, typer.Option(help="llama.cpp's folder: also write a GGUF file, with --merge")] = None
    model: Annotated[str | None, typer.Option(help="base of an adapter from elsewhere  [default: as named]")] = None


def export(options: StageExportOptions) -> None:
    """Write a stage as a folder for plain transformers and peft: adapter or merged model, card, plans, grammars.

    An existing folder is not changed, unless it is an earlier export and --overwrite is given. STAGE may be a peft
    folder that was trained elsewhere. The printed seal can later show whether anything was changed.
    """
    from stages.export.publish import push as push_to
    from stages.export.publish import to_gguf
    from stages.export.run import ExportOptions, export_stage
    from stages.provenance.trust import Permissions

    wanted = ExportOptions(
        merge=options.merge,
        dtype=options.dtype.value,
        overwrite=options.overwrite,
        permissions=Permissions(**options.permissions.granted()),
        licence=options.licence,
        model=options.model,
    )
    if options.gguf is not None and not options.merge:
        raise UserError("--gguf: needs a merged model; add --merge")
    export_stage(options.stage, options.to, wanted)
    if options.gguf is not None:
        typer.echo(f"gguf: {to_gguf(options.to, options.gguf, options.dtype.value)}")
    if options.push is not None:
        typer.echo(f"pushed: {push_to(options.to, options.push, is_public=options.public)}")
    tell_next("export", options.stage, f"tritrace serve {options.stage}")
