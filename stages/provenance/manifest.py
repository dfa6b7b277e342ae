"""The manifest of a stage: what it was made of, so that the next stage can trust it and a second run can skip it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from data.files import replacing
from stages.arguments.resolved import comparable, decisive
from stages.errors import StageError
from stages.provenance.manifest_fields import manifest_problems
from toolkit.catalogue import fingerprint as protocol_fingerprint

MANIFEST_VERSION = 1
_COMMIT = re.compile(r"[0-9a-f]{40}")
"""A commit of the hub; folders have hashes of 64 digits."""
_ADDED = frozenset({"start", "merged", "files", "peak_reserved_bytes", "peak_host_bytes"})
"""Fields that manifests written before they existed lack."""
_PACKAGES = ("tritrace", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a stage was made of and what it took."""

    stage: str
    """sft, dpo or grpo."""
    model: str
    """The base model as the recipe names it."""
    model_revision: str
    """SHA-256 of the base model's folder, or its commit on the hub."""
    parent: str | None
    """Digest of the previous stage's manifest; None for a fresh adapter on the base."""
    recipe: Mapping[str, Any]
    """As resolved (`stages/arguments/resolved.py`)."""
    data: Mapping[str, str]
    """Fingerprints of the rows and the images trained on."""
    seed: int
    protocol: str = field(default_factory=protocol_fingerprint)
    """Fingerprint of the trace language and its tools."""
    versions: Mapping[str, str] = field(default_factory=_versions)
    """Of the packages that decide the outcome."""
    adapter: str | None = None
    """SHA-256 of the adapter's weights; None while training."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The trainer's last word on each."""
    seconds: float = 0.0
    """Wall clock of training; since the last resume where the stage was interrupted."""
    resumed_from_step: int | None = None
    """The step at which the last interruption was taken up; None where there was none."""
    peak_memory_bytes: int = 0
    """Most memory used at a time: by tensors on the GPU where there is one, else by the process since it started."""
    peak_reserved_bytes: int | None = None
    """Most memory that PyTorch's allocator held on the GPU; None without one."""
    peak_host_bytes: int | None = None
    """Most memory of the process on the host since it started; None where it was not written down."""
    device: str = ""
    start: str = ""
    """What the stage started from: "base", "stage" (its `parent`), or "merged" (a model with stages in its weights)."""
    merged: str | None = None
    """Digest of the manifest that a merged base model carries; None for any other base."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file in `adapter/`, its configuration included; {} in manifests that are older than this."""
    version: int = MANIFEST_VERSION

    def identity(self) -> dict[str, Any]:
        """Return what decides the outcome; two runs that agree on it need not both be made."""
        names = ("stage", "model_revision", "parent", "data", "seed", "protocol")
        # What a merged model was made of is in its revision already: its manifest is one of its files.
        return {name: getattr(self, name) for name in names} | {"recipe": decisive(dict(self.recipe))}

    @property
    def digest(self) -> str:
        """SHA-256 over the identity and the adapter: what a child names as its parent."""
        files = {"files": dict(self.files)} if self.files else {}
        text = json.dumps(self.identity() | {"adapter": self.adapter} | files, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def outcome(self) -> dict[str, Any]:
        """Return the identity with batches as totals: a smaller batch, accumulated more often, is the same stage."""
        return self.identity() | {"recipe": comparable(dict(self.recipe))}

    @property
    def base_commit(self) -> str | None:
        """The commit of its base on the hub; None for a base in a folder."""
        return self.model_revision if _COMMIT.fullmatch(self.model_revision) else None

    def differences(self, other: "Manifest") -> list[str]:
        """Return what decides the outcome and differs in another manifest from this one, in words."""
        ours, theirs = _flat(self.outcome()), _flat(other.outcome())
        names = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
        return [f"{name} was {_short(theirs.get(name))}, is {_short(ours.get(name))}" for name in names]

    def write(self, path: Path) -> None:
        """Write the manifest so that an interruption leaves the old file or the new one."""
        with replacing(path) as file:
            file.write(json.dumps(asdict(self) | {"digest": self.digest}, indent=2, sort_keys=True) + "\n")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. What `tritrace manifest` checks, whether it was altered since, is not checked here.

    Raises:
        StageError: missing, not JSON, of another version, or not a manifest; every field that is not what it should be.
    """
    return _read(path)[0]


def read_seal(path: Path) -> str | None:
    """Return the digest that a manifest was written with, or None where it is older than seals.

    Raises:
        StageError: as for `read_manifest`.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[Manifest, str | None]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StageError(f"{path}: cannot be read: {error}") from None
    known = {option.name for option in fields(Manifest)}
    # A manifest of an earlier day lacks what was added since, and nothing else.
    is_manifest = isinstance(record, dict) and _ESSENTIAL <= set(record) <= known | {"digest"}
    if not is_manifest or record.get("version") != MANIFEST_VERSION:
        raise StageError(f"{path}: not a manifest of version {MANIFEST_VERSION}; run the stage again")
    if problems := manifest_problems(record):
        raise StageError([f"{path}: {problem}" for problem in problems])
    seal = record.pop("digest", None)
    return Manifest(**record), seal


def merged_manifest(model: Path) -> Manifest | None:
    """Return the manifest in a merged model's folder, or None where there is none: an ordinary base.

    Raises:
        StageError: it is there and cannot be read.
    """
    path = model / "manifest.json"
    return read_manifest(path) if path.is_file() else None


_ESSENTIAL = {option.name for option in fields(Manifest)} - _ADDED


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 16 else text[:12] + "..."
