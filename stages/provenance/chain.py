"""Reads the chain of a run: the inputs of each stage, and whether they are unchanged.

Every manifest names its parent by a digest over its base model, parent, recipe, data, seed, protocol and adapter. A
link holds if the named file or manifest still has the named hash.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.files.hashing import file_hashes
from data.files.json_lines import RowsError, read_rows
from data.pictures.images import ImageError
from eval.models.adapters import adapter_hash
from eval.models.reading import ModelError
from eval.models.revision import model_revision
from stages.arguments.resolved import decisive
from stages.errors import StageError
from stages.inputs.columns import fingerprint_rows
from stages.provenance.elsewhere import is_elsewhere, manifest_of
from stages.provenance.export_mark import MARK, exported_files, is_export
from stages.provenance.manifest import Manifest, merged_manifest, read_manifest, read_seal
from stages.spec import SPECS
from toolkit.catalogue import fingerprint as protocol_fingerprint

State = Literal["holds", "not here", "broken"]


@dataclass(frozen=True, slots=True)
class Link:
    """A thing that a stage names by its hash."""

    state: State
    """"not here" means that it cannot be checked: a file that was moved, or a model on a hub."""
    name: str
    digest: str
    """The digest in the manifest."""
    note: str = ""
    """For a broken link, both values; otherwise the target of the link."""


@dataclass(frozen=True, slots=True)
class ChainStage:
    """A stage's folder with its manifest and its checked links."""

    folder: Path
    manifest: Manifest
    links: tuple[Link, ...]


def read_chain(run: Path, *, with_model: bool = True) -> list[ChainStage]:
    """Read and verify every stage below a folder, parents before children.

    Args:
        run: the folder of a run, of a seed, or of one stage.
        with_model: also hash the base model, which takes some seconds per gigabyte.

    Raises:
        StageError: there is no finished stage, or manifests cannot be read; lists all of these.
    """
    manifests: dict[Path, Manifest] = {}
    problems: list[str] = []
    for path in _manifest_paths(run):
        try:
            manifests[path.parent] = read_manifest(path)
        except StageError as error:
            problems += error.problems
    if problems:
        raise StageError(problems)
    if not manifests:
        raise StageError(f"{run}: no finished stage here; a stage's manifest.json is written when it is done")
    order = {name: place for place, name in enumerate(SPECS)}
    folders = sorted(manifests, key=lambda folder: (str(folder.parent), order.get(manifests[folder].stage, len(order))))
    revisions: dict[str, str | None] = {}
    return [
        ChainStage(folder, manifests[folder], tuple(_links(folder, manifests, revisions, with_model=with_model)))
        for folder in folders
    ]


def read_stage(folder: Path, *, with_model: bool = True) -> ChainStage:
    """Read the stage of a folder and verify the links that affect loading; its data are not checked.

    Args:
        folder: folder of the stage.
        with_model: also hash the base model.

    Raises:
        StageError: its manifest cannot be read.
    """
    manifests = {folder: read_manifest(folder / "manifest.json")}
    links = _links(folder, manifests, {}, with_model=with_model, with_data=False)
    return ChainStage(folder, manifests[folder], tuple(links))


def read_model(folder: Path) -> ChainStage | None:
    """Read and verify the manifest in a merged model's folder; None for an ordinary model.

    Raises:
        StageError: its manifest cannot be read.
    """
    manifest = merged_manifest(folder)
    if manifest is None:
        return None
    links = [seal_link(folder / "manifest.json", manifest), protocol_link(manifest)]
    if (named := exported_files(folder)) is not None:
        links.append(files_link("files", folder, named))
    return ChainStage(folder, manifest, tuple(links))


def _manifest_paths(run: Path) -> list[Path]:
    if (run / "manifest.json").is_file() and not is_export(run):
        return [run / "manifest.json"]
    # `checkpoints/` has the manifest of an unfinished stage; an export has the manifest of its stage.
    paths = sorted(path for path in run.glob("**/manifest.json") if path.parent.name != "checkpoints")
    return [path for path in paths if not is_export(path.parent)]


def _links(
    folder: Path,
    manifests: Mapping[Path, Manifest],
    revisions: dict[str, str | None],
    *,
    with_model: bool,
    with_data: bool = True,
) -> Iterator[Link]:
    manifest = manifests[folder]
    yield seal_link(folder / "manifest.json", manifest)
    yield from _start(folder, manifest, manifests)
    if with_model:
        yield _model(manifest, revisions)
    if with_data:
        yield _data(folder, manifest)
    yield _link("adapter", str(manifest.adapter), _adapter(folder), str(folder / "adapter"))
    yield files_link("adapter files", folder / "adapter", manifest.files)
    yield protocol_link(manifest)


def protocol_link(manifest: Manifest) -> Link:
    """Compare the trace language of a stage's training with the current one."""
    if not manifest.protocol:
        return Link("not here", "protocol", "-", "trained elsewhere; its trace language, if any, is unknown")
    return _link("protocol", manifest.protocol, protocol_fingerprint(), "the language of this code")


def files_link(name: str, folder: Path, named: Mapping[str, str]) -> Link:
    """Check every file of a folder that affects loading; the adapter's weights have a separate link."""
    if not named:
        return Link("not here", name, "-", "written before each file was hashed")
    found = {file: digest for file, digest in file_hashes(folder).items() if file != MARK}
    is_adapter = name == "adapter files"
    checked = [file for file in sorted({*named, *found}) if not (is_adapter and file.endswith(".safetensors"))]
    faults = [_difference(file, named.get(file), found.get(file)) for file in checked]
    digest = hashlib.sha256(json.dumps(dict(named), sort_keys=True).encode()).hexdigest()
    note = "; ".join(fault for fault in faults if fault)
    return Link("broken", name, digest, f"{folder}: {note}") if note else Link("holds", name, digest, str(folder))


def _difference(file: str, named: str | None, found: str | None) -> str:
    if named == found:
        return ""
    if found is None:
        return f"{file} is missing"
    return f"{file} was {named[:12]}, is {found[:12]}" if named else f"{file} is new ({found[:12]})"


def seal_link(path: Path, manifest: Manifest) -> Link:
    """Check a manifest against its own digest: recipe, data, seed and all other deciding fields."""
    seal = read_seal(path)
    if seal is None:
        return Link("not here", "manifest", manifest.digest, "written without its own digest")
    recipe = hashlib.sha256(json.dumps(decisive(dict(manifest.recipe)), sort_keys=True).encode()).hexdigest()
    note = f"{path}; recipe {recipe[:12]}"
    return _link("manifest", seal, manifest.digest, note, was="written")


def _start(folder: Path, manifest: Manifest, manifests: Mapping[Path, Manifest]) -> Iterator[Link]:
    """Check the start of the stage."""
    if manifest.merged is not None:
        found = _merged(manifest)
        yield _link("merged into the base", manifest.merged, found, manifest.model)
    if manifest.parent is None:
        if manifest.merged is None:
            yield Link("holds", "parent", "-", "a fresh adapter on the base")
        return
    named = Path(str(manifest.recipe.get("parent")))
    if is_elsewhere(named):
        found = manifest_of(named, "", manifest.model_revision).digest
        note = f"{named}: an adapter that was trained elsewhere; its training is unknown"
        yield (
            Link("not here", "parent", found, note)
            if found == manifest.parent
            else _link("parent", manifest.parent, found, str(named))
        )
        return
    parent = next((other for other in manifests.values() if other.digest == manifest.parent), None)
    parent = parent or manifests.get(named) or _read(named) or manifests.get(folder.parent / named.name)
    yield _link("parent", manifest.parent, parent.digest if parent else None, str(named))
    if parent is not None:
        for name in ("protocol", "model_revision"):
            ours, theirs = getattr(manifest, name), getattr(parent, name)
            if ours != theirs:
                yield Link("broken", f"{name} of parent", ours, f"{folder} has {ours}, its parent {named} has {theirs}")


def _merged(manifest: Manifest) -> str | None:
    try:
        found = merged_manifest(Path(manifest.model))
    except StageError:
        return None
    return found.digest if found else None


def _read(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder / "manifest.json")
    except StageError:
        return None


def _model(manifest: Manifest, revisions: dict[str, str | None]) -> Link:
    pinned = manifest.base_commit
    key = f"{manifest.model} {pinned}"
    if key not in revisions:
        try:
            revisions[key] = model_revision(manifest.model, pinned)
        except ModelError:
            revisions[key] = None
    return _link("base model", manifest.model_revision, revisions[key], manifest.model)


def _data(folder: Path, manifest: Manifest) -> Link:
    path = Path(str(manifest.recipe.get("data")))
    named = manifest.data.get("rows", "")
    if not path.is_file() or manifest.stage not in SPECS:
        return Link("not here", "data", named, str(path))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != named:
        return _link("data", named, found, str(path))
    try:
        rows = read_rows(path, SPECS[manifest.stage].row_type)[: manifest.recipe.get("max_rows")]
        current = fingerprint_rows(path, rows)
    except (RowsError, ImageError) as error:
        return Link("broken", "data", named, f"{path}: {error}")
    changed = [name for name in manifest.data if current.get(name) != manifest.data[name]]
    if changed:
        sides = "; ".join(f"{name} was {manifest.data[name]}, is {current.get(name)}" for name in changed)
        return Link("broken", "data", named, f"{folder} and {path} differ: {sides}")
    return Link("holds", "data", named, str(path))


def _adapter(folder: Path) -> str | None:
    return adapter_hash(folder) if (folder / "adapter").is_dir() else None


def _link(name: str, named: str, found: str | None, where: str, *, was: str = "named") -> Link:
    if found is None:
        if name in {"adapter", "merged into the base"}:
            return Link("broken", name, named, f"{where}: is missing")
        return Link("not here", name, named, where)
    if found != named:
        return Link("broken", name, named, f"{where}: {was} {named}, found {found}")
    return Link("holds", name, named, where)


def broken(chain: Sequence[ChainStage]) -> list[str]:
    """Return every broken link as a line that names both values."""
    return [f"{stage.folder}: {link.name}: {link.note}" for stage in chain for link in stage.links if _is_broken(link)]


def _is_broken(link: Link) -> bool:
    return link.state == "broken"
