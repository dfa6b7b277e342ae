"""What may be loaded, and how: permissions come from the user alone, and a chain is checked before it is followed.

A folder that was downloaded can say anything. It may describe itself (dtype, pixels, base model), but whether its
Python files are run, pickles are opened, or a broken chain is overlooked is decided by the command line or by the
user's own recipe. Evaluation, chat, `--parent` and export all ask here.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.models.loading import LoadOptions
from stages.errors import StageError
from stages.provenance.chain import Link, Stage, read_model, read_stage
from stages.provenance.elsewhere import is_elsewhere, manifest_of
from stages.provenance.manifest import Manifest
from stages.spec import SPECS, STAGES

_DECISIVE = frozenset(
    {"manifest", "adapter", "adapter files", "base model", "merged into the base", "protocol", "files"}
)
"""Links that decide what is loaded. Data and parents may have moved on: that is told, and no reason to refuse."""
_HINT = (
    "hint: it is not what was trained, and is not loaded. If you know why, --allow-broken "
    "(in a recipe allow_broken: true) loads it all the same"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What a user allows the loading of a model to do. An artefact never sets these."""

    trust_remote_code: bool = False
    """Run the Python files of a model's folder."""
    allow_pickle: bool = False
    """Also read weights that are no safetensors; such a file can run code when it is opened."""
    allow_broken: bool = False
    """Load what is not what its manifest says."""


NO_PERMISSIONS = Permissions()


def permissions_of(arguments: Any, config: Any) -> Permissions:
    """Return what a user's own recipe of a stage allows."""
    return Permissions(
        trust_remote_code=config.trust_remote_code,
        allow_pickle=arguments.allow_pickle,
        allow_broken=arguments.allow_broken,
    )


def load_options(manifest: Manifest | None, permissions: Permissions) -> LoadOptions:
    """Return how a base model is read: as for a stage's training, its very commit, with the user's permissions."""
    # A base that was not trained here has no recipe that could say where its system messages go.
    options = LoadOptions.from_recipe(
        manifest.recipe if manifest else {"fold_system": True},
        trust_remote_code=permissions.trust_remote_code,
        allow_pickle=permissions.allow_pickle,
    )
    return replace(options, revision=manifest.base_commit if manifest else None)


def check_stage(folder: Path, *, allow_broken: bool = False) -> Manifest:
    """Return the manifest of a stage after checking that what would be loaded is what it says.

    Args:
        folder: of the stage.
        allow_broken: tell what is broken and go on.

    Raises:
        StageError: there is no finished stage, or its chain is broken; every broken link names both sides.
    """
    if not (folder / "manifest.json").is_file():
        raise StageError(f"{folder}: no finished stage here; name the folder of one, such as runs/pocket/seed-0/grpo")
    stage = read_stage(folder)
    _refuse(folder, stage.links, allow_broken=allow_broken)
    return stage.manifest


def check_model(model: str, *, allow_broken: bool = False, is_base: bool = False) -> Manifest | None:
    """Return the manifest in a merged model's folder after checking it; None for an ordinary model.

    Args:
        model: a folder or a name on the hub.
        allow_broken: tell what is broken and go on.
        is_base: a stage is to be trained on it, which may teach it another trace language.

    Raises:
        StageError: as for `check_stage`.
    """
    found = read_model(Path(model))
    if found is None:
        return None
    links = [link for link in found.links if not (is_base and link.name == "protocol")]
    _refuse(found.folder, links, allow_broken=allow_broken)
    return found.manifest


def check_parent(folder: Path, *, model_revision: str, child: str, allow_broken: bool = False) -> Manifest:
    """Return the manifest of the previous stage after checking that its adapter can be continued.

    Args:
        folder: of the previous stage.
        model_revision: of the base that the child trains on.
        child: the stage that wants to continue it.
        allow_broken: tell what is broken and go on.

    Raises:
        StageError: it is missing or unfinished, its chain is broken, or it was made for another base model or another
            trace language.
    """
    if is_elsewhere(folder):
        return manifest_of(folder, "", model_revision)
    if not (folder / "manifest.json").is_file():
        previous = SPECS[child].previous or STAGES[0]
        raise StageError(
            f"{folder}: no finished stage here to continue from; "
            f"`tritrace {previous} --config RECIPE --output {folder}` makes it"
        )
    stage = read_stage(folder, with_model=False)
    links = [*stage.links, *_other_base(stage, model_revision)]
    _refuse(folder, links, allow_broken=allow_broken)
    return stage.manifest


def _other_base(parent: Stage, revision: str) -> list[Link]:
    named = parent.manifest.model_revision
    if named == revision:
        return []
    note = f"trained on the base model {parent.manifest.model} ({named[:12]}), this stage has another ({revision[:12]})"
    if parent.manifest.base_commit:
        note += f"; `revision: {named}` takes that one"
    return [Link("broken", "base model", named, note)]


def _refuse(folder: Path, links: Sequence[Link], *, allow_broken: bool) -> None:
    broken = [link for link in links if link.state == "broken"]
    fatal = [f"{folder}: {link.name}: {link.note}" for link in broken if link.name in _DECISIVE]
    if fatal and not allow_broken:
        raise StageError([*fatal, _HINT])
    for link in broken:
        overlooked = "; loaded all the same, as asked" if link.name in _DECISIVE else ""
        print(f"warning: {folder}: {link.name}: broken: {link.note}{overlooked}", file=sys.stderr)  # noqa: T201
