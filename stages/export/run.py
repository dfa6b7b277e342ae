"""`tritrace export`: writes one folder with everything that is needed to use a trained stage."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.files.hashing import file_hashes
from data.files.json_lines import replacing
from eval.models.revision import model_revision
from protocol.plans.prompt import Style
from stages.errors import StageError
from stages.export.card import CardInputs, model_card
from stages.export.draft import drafted, refuse_what_is_in_the_way
from stages.export.lineage import Ancestor, lineage, rows_of
from stages.export.plans import choose_plans, write_plans
from stages.export.weights import export_dtype, write_adapter, write_merged
from stages.progress import say
from stages.provenance.elsewhere import base_of, is_elsewhere, manifest_of
from stages.provenance.export_mark import MARK
from stages.provenance.seals import record_seal, seal_of
from stages.provenance.trust import NO_PERMISSIONS, Permissions, check_stage, load_options

EXPORT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Options of an export."""

    merge: bool = False
    """Write a whole model, with the adapter merged into its weights."""
    dtype: str = "auto"
    """Dtype of a merged model; auto is the recipe's, or else the dtype of the base's files."""
    overwrite: bool = False
    """Replace an earlier export."""
    permissions: Permissions = NO_PERMISSIONS
    """Permissions for loading the base model."""
    licence: str | None = None
    """Licence on the card; by default the base model's, if its folder states one."""
    model: str | None = None
    """The base of an adapter that was trained elsewhere; by default the base that the adapter names."""


def export_stage(stage: Path, to: Path, options: ExportOptions) -> Path:
    """Write a stage's adapter or merged model, its card, its manifests and its plans, and return the folder.

    A peft adapter that was trained elsewhere can be exported too; the card says that its training is unknown.

    Raises:
        StageError: there is no finished stage, it does not match its manifest, or the folder exists already.
        ModelError: the base model cannot be loaded.
    """
    refuse_what_is_in_the_way(to, overwrite=options.overwrite)
    stages = _checked(stage, options)
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
            manifest.write(draft / "manifest.json")  # so that a stage on this model knows the origin of its weights
        else:
            write_adapter(stage, manifest, draft, reading)
        write_plans(plans, draft)
        _write_manifests(stages, draft)
        mark = {"tritrace_export": EXPORT_VERSION, "stage": manifest.stage, "digest": manifest.digest, "dtype": dtype}
        written = {"merged": options.merge, "files": file_hashes(draft)}
        with replacing(draft / MARK) as file:
            file.write(json.dumps(mark | written, indent=2) + "\n")
        card = CardInputs(stages, plans, num_plans, merged_dtype=dtype, licence=options.licence, name=to.resolve().name)
        with replacing(draft / "README.md") as file:
            file.write(model_card(card))
    seal = seal_of(to)
    if not is_elsewhere(stage):
        record_seal(stage, to, seal)
    say(f"export: {to}, seal {seal}")
    return to


def _checked(stage: Path, options: ExportOptions) -> list[Ancestor]:
    """Check a stage against its manifests, and return it with its ancestors."""
    if is_elsewhere(stage):
        base = options.model or base_of(stage)
        say(f"export: {stage} was trained elsewhere: its training and its data are unknown")
        return [Ancestor(stage, manifest_of(stage, base, model_revision(base)))]
    if options.model is not None:
        raise StageError("--model: only for an adapter that was trained elsewhere; a stage names its own base")
    check_stage(stage, allow_broken=options.permissions.allow_broken)
    return lineage(stage)


def _write_manifests(stages: Sequence[Ancestor], folder: Path) -> None:
    for number, each in enumerate(stages, start=1):
        each.manifest.write(folder / "manifests" / f"{number}-{each.manifest.stage}.json")
