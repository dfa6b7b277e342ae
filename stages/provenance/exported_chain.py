"""Reads and verifies the chain in an export: its files, and the manifests of its stages.

An export does not need its run. It has the hash of each of its files (`export.json`), and the manifests of its stages
(`manifests/`). Each manifest names its parent's digest, and the last one names the adapter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from stages.errors import StageError
from stages.provenance.chain import ChainStage, Link, files_link, protocol_link, seal_link
from stages.provenance.elsewhere import STAGE as ELSEWHERE
from stages.provenance.export_mark import exported_files, is_export, read_mark
from stages.provenance.manifest import Manifest, read_manifest
from stages.provenance.seals import recorded_seals, seal_of


def read_export(folder: Path, seal: str | None = None) -> list[ChainStage]:
    """Read and verify an export with its own hashes and manifests, parents before children.

    Args:
        folder: folder of an export, with an adapter or a merged model.
        seal: the seal that `tritrace export` printed. Without it, a change of both files and `export.json` is not
            found.

    Raises:
        StageError: it has no manifest of a stage, or some that cannot be read; lists all of these.
    """
    manifests: dict[Path, Manifest] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("manifests/*.json")):
        try:
            manifests[path] = read_manifest(path)
        except StageError as error:
            problems += error.problems
    if not manifests and not problems:
        problems.append(f"{folder}: an export without manifests/; export the stage again")
    if problems:
        raise StageError(problems)
    stages: list[ChainStage] = []
    for path, manifest in manifests.items():
        parent = stages[-1].manifest if stages else None
        links = [seal_link(path, manifest), *_parent(path, manifest, parent), protocol_link(manifest)]
        stages.append(ChainStage(path, manifest, tuple(links)))
    last = stages.pop()
    sealed = [] if seal is None else [_seal(folder, seal)]
    return [*stages, ChainStage(folder, last.manifest, (*last.links, *_export(folder, last.manifest), *sealed))]


def with_exports(chain: Iterable[ChainStage]) -> Iterator[ChainStage]:
    """Yield each stage of a run, with a link for each of its exports, checked by the seal that the stage keeps."""
    for stage in chain:
        found = (_seal(Path(folder), seal) for folder, seal in recorded_seals(stage.folder).items())
        yield replace(stage, links=(*stage.links, *found))


def _seal(folder: Path, seal: str) -> Link:
    if not is_export(folder):
        return Link("not here", "export", seal, str(folder))
    found = seal_of(folder)
    if found != seal:
        return Link("broken", "export", seal, f"{folder}: written {seal}, found {found}")
    return Link("holds", "export", seal, str(folder))


def _parent(path: Path, manifest: Manifest, parent: Manifest | None) -> Iterator[Link]:
    if manifest.parent is None:
        if parent is None and manifest.stage == ELSEWHERE:
            yield Link("not here", "parent", "-", "an adapter that was trained elsewhere; its training is unknown")
        elif parent is None:
            yield Link("holds", "parent", "-", "a fresh adapter on the base")
        else:
            yield Link("broken", "parent", "-", f"{path}: names none, found {parent.digest} before it")
    elif parent is None:
        yield Link("not here", "parent", manifest.parent, "its manifest was not exported")
    elif parent.digest != manifest.parent:
        yield Link("broken", "parent", manifest.parent, f"{path}: named {manifest.parent}, found {parent.digest}")
    else:
        yield Link("holds", "parent", manifest.parent, "the stage before it")


def _export(folder: Path, manifest: Manifest) -> Iterator[Link]:
    """Check the mark of the export against the last stage's manifest, and check its files."""
    mark, files = read_mark(folder) or {}, exported_files(folder) or {}
    digest = str(mark.get("digest"))
    if digest == manifest.digest:
        yield Link("holds", "stage", digest, manifest.stage)
    else:
        note = f"{folder}: named {digest}, found {manifest.digest}"
        yield Link("broken", "stage", digest, note)
    if not mark.get("merged"):
        yield _weights(folder, manifest, files)
    yield files_link("files", folder, files)


def _weights(folder: Path, manifest: Manifest, files: dict[str, str]) -> Link:
    """Check that the adapter's weights are those of the last stage; `files` has the current hashes."""
    named = {name: digest for name, digest in manifest.files.items() if name.endswith(".safetensors")}
    if not named or not files:
        return Link("not here", "adapter", str(manifest.adapter), "written before each file was hashed")
    faults = [name for name, digest in named.items() if files.get(name) != digest]
    if faults:
        note = f"{folder}: {faults[0]} was {named[faults[0]][:12]}, is {str(files.get(faults[0]))[:12]}"
        return Link("broken", "adapter", str(manifest.adapter), note)
    return Link("holds", "adapter", str(manifest.adapter), "the weights of the last stage")
