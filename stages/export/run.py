"""`tritrace export`: one folder with everything that others need of a trained stage, written at once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.files import replacing
from data.hashing import file_hashes
from protocol.prompt import Style
from stages.export.card import Card, model_card
from stages.export.draft import drafted, refuse_what_is_in_the_way
from stages.export.lineage import Ancestor, lineage, rows_of
from stages.export.plans import choose_plans, write_plans
from stages.export.weights import export_dtype, write_adapter, write_merged
from stages.progress import say
from stages.provenance.export_mark import MARK
from stages.provenance.trust import NO_PERMISSIONS, Permissions, check_stage, load_options

EXPORT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What an export is to be."""

    merge: bool = False
    """Write a whole model, with the adapter in its weights."""
    dtype: str = "auto"
    """Of a merged model; auto is the recipe's, or else that of the base's files."""
    overwrite: bool = False
    """Replace an earlier export."""
    permissions: Permissions = NO_PERMISSIONS
    """How the base model may be read."""
    licence: str | None = None
    """What the card says; by default that of the base model, where its folder says so."""


def export_stage(stage: Path, to: Path, options: ExportOptions) -> Path:
    """Write a stage's adapter or merged model, its card, its manifests and its plans, and return the folder.

    Raises:
        StageError: there is no finished stage, it is not what its manifest says, or something is in the way.
        ModelError: the base model cannot be loaded.
    """
    refuse_what_is_in_the_way(to, overwrite=options.overwrite)
    check_stage(stage, allow_broken=options.permissions.allow_broken)
    stages = lineage(stage)
    manifest = stages[-1].manifest
    rows = rows_of(stages[-1])
    style: Style = "compact" if manifest.data.get("prompt_style") == "compact" else "full"
    plans, num_plans = choose_plans(rows, style)
    reading = load_options(manifest, options.permissions)
    merged_dtype = export_dtype(manifest, options.dtype, reading) if options.merge else None
    dtype = str(merged_dtype).removeprefix("torch.") if merged_dtype else None
    with drafted(to, overwrite=options.overwrite) as draft:
        if merged_dtype:
            say(f"export: merging the adapter of {stage} into {manifest.model}, {dtype}")
            write_merged(stage, manifest, draft, merged_dtype, reading)
            manifest.write(draft / "manifest.json")  # by which a stage on this model knows what is in its weights
        else:
            write_adapter(stage, manifest, draft, reading)
        write_plans(plans, draft)
        _write_manifests(stages, draft)
        mark = {"tritrace_export": EXPORT_VERSION, "stage": manifest.stage, "digest": manifest.digest, "dtype": dtype}
        written = {"merged": options.merge, "files": file_hashes(draft)}
        with replacing(draft / MARK) as file:
            file.write(json.dumps(mark | written, indent=2) + "\n")
        card = Card(stages, plans, num_plans, merged_dtype=dtype, licence=options.licence, name=to.resolve().name)
        with replacing(draft / "README.md") as file:
            file.write(model_card(card))
    say(f"export: {to}")
    return to


def _write_manifests(stages: Sequence[Ancestor], folder: Path) -> None:
    for number, each in enumerate(stages, start=1):
        each.manifest.write(folder / "manifests" / f"{number}-{each.manifest.stage}.json")
