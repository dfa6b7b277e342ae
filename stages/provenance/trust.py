"""Decides what may be loaded: permissions come only from the user, and a chain is verified before loading.

A downloaded folder can contain anything. It may state its dtype, its pixel bounds and its base model. But only the
command line or the user's own recipe allows running its Python files, opening pickles, or ignoring a broken chain.
Evaluation, chat, `--parent` and export all use this module.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.models.options import LoadOptions
from stages.errors import StageError
from stages.provenance.chain import ChainStage, Link, read_model, read_stage
from stages.provenance.elsewhere import is_elsewhere, manifest_of
from stages.provenance.manifest import Manifest
from stages.spec import SPECS, STAGES

_DECISIVE = frozenset(
    {"manifest", "adapter", "adapter files", "base model", "merged into the base", "protocol", "files"}
)
"""Links that affect what is loaded. A change of data or parents is reported, but is not an error."""
_HINT = (
    "hint: it differs from the trained one and is not loaded. If you know the reason, --allow-broken "
    "(in a recipe allow_broken: true) loads it anyway"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Permissions for loading a model, set by the user and never by an artefact."""

    trust_remote_code: bool = False
    """Run the Python files of a model's folder."""
    allow_pickle: bool = False
    """Also read weights in other formats than safetensors; such a file can run code when it is opened."""
    allow_broken: bool = False
    """Load files that do not match their manifest."""


NO_PERMISSIONS = Permissions()


def permissions_of(arguments: Any, config: Any) -> Permissions:
    """Return the permissions in the user's recipe of a stage."""
    return Permissions(
        trust_remote_code=config.trust_remote_code,
        allow_pickle=arguments.allow_pickle,
        allow_broken=arguments.allow_broken,
    )


def load_options(manifest: Manifest | None, permissions: Permissions) -> LoadOptions:
    """Return the options for loading a base model: those of the stage's training, with the user's permissions."""
    # A base that was not trained here has no recipe with an option for system messages.
    options = LoadOptions.from_recipe(
        manifest.recipe if manifest else {"fold_system": True},
        trust_remote_code=permissions.trust_remote_code,
        allow_pickle=permissions.allow_pickle,
    )
    return replace(options, revision=manifest.base_commit if manifest else None)


def check_stage(folder: Path, *, allow_broken: bool = False) -> Manifest:
    """Check the files of a stage against its manifest, and return the manifest.

    Args:
        folder: folder of the stage.
        allow_broken: print broken links and continue.

    Raises:
        StageError: there is no finished stage, or its chain is broken; lists every broken link with both values.
    """
    if not (folder / "manifest.json").is_file():
        raise StageError(_unfinished(folder))
    stage = read_stage(folder)
    _refuse(folder, stage.links, allow_broken=allow_broken)
    return stage.manifest


def _unfinished(folder: Path) -> str:
    found = sorted(path.parent for pattern in ("*", "*/*", "*/*/*") for path in folder.glob(f"{pattern}/manifest.json"))
    known = f"finished are {', '.join(map(str, found))}" if found else "`tritrace curriculum RECIPE` trains all three"
    return f"{folder}: no finished stage here; name the folder of one, such as runs/pocket/seed-0/grpo; {known}"


def check_model(model: str, *, allow_broken: bool = False, is_base: bool = False) -> Manifest | None:
    """Check the manifest in a merged model's folder, and return it; None for an ordinary model.

    Args:
        model: a folder or a name on the hub.
        allow_broken: print broken links and continue.
        is_base: whether a stage will be trained on it; the stage may teach another trace language.

    Raises:
        StageError: see `check_stage`.
    """
    found = read_model(Path(model))
    if found is None:
        return None
    links = [link for link in found.links if not (is_base and link.name == "protocol")]
    _refuse(found.folder, links, allow_broken=allow_broken)
    return found.manifest


def check_parent(folder: Path, *, model_revision: str, child: str, allow_broken: bool = False) -> Manifest:
    """Check that the adapter of the previous stage can be continued, and return its manifest.

    Args:
        folder: folder of the previous stage.
        model_revision: revision of the child's base model.
        child: the stage that continues it.
        allow_broken: print broken links and continue.

    Raises:
        StageError: it is missing or unfinished, its chain is broken, or it has another base model or another trace
            language.
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


def _other_base(parent: ChainStage, revision: str) -> list[Link]:
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
        overlooked = "; loaded anyway, as requested" if link.name in _DECISIVE else ""
        print(f"warning: {folder}: {link.name}: broken: {link.note}{overlooked}", file=sys.stderr)  # noqa: T201
