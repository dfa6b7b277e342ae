"""The manifest of a stage: its inputs, so that the next stage can verify it and a second run can skip it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from data.files.json_lines import replacing
from stages.arguments.resolved import comparable, decisive
from stages.errors import StageError
from stages.provenance.manifest_fields import manifest_problems
from toolkit.catalogue import fingerprint as protocol_fingerprint

MANIFEST_VERSION = 1
_COMMIT = re.compile(r"[0-9a-f]{40}")
"""Matches a commit of the hub; the hash of a folder has 64 digits."""
_ADDED = frozenset({"start", "merged", "files", "peak_reserved_bytes", "peak_host_bytes"})
"""Fields that old manifests do not have."""
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
    """The inputs of a stage, and the cost of its training."""

    stage: str
    """sft, dpo or grpo."""
    model: str
    """The base model as the recipe names it."""
    model_revision: str
    """SHA-256 of the base model's folder, or its commit on the hub."""
    parent: str | None
    """Digest of the previous stage's manifest; None for a fresh adapter on the base."""
    recipe: Mapping[str, Any]
    """The resolved recipe (`stages/arguments/resolved.py`)."""
    data: Mapping[str, str]
    """Fingerprints of the training rows and images."""
    seed: int
    protocol: str = field(default_factory=protocol_fingerprint)
    """Fingerprint of the trace language and its tools."""
    versions: Mapping[str, str] = field(default_factory=_versions)
    """Versions of the packages that affect the outcome."""
    adapter: str | None = None
    """SHA-256 of the adapter's weights; None during training."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last value of each metric."""
    seconds: float = 0.0
    """Wall-clock time of training; if it was interrupted, since the last resume."""
    resumed_from_step: int | None = None
    """The step of the last resume; None if there was no interruption."""
    peak_memory_bytes: int = 0
    """Peak memory: of tensors on the GPU if there is one, else of the process since it started."""
    peak_reserved_bytes: int | None = None
    """Peak memory held by PyTorch's allocator on the GPU; None without a GPU."""
    peak_host_bytes: int | None = None
    """Peak host memory of the process since it started; None if it was not recorded."""
    device: str = ""
    start: str = ""
    """The start of the stage: "base", "stage" (its `parent`), or "merged" (a model with stages in its weights)."""
    merged: str | None = None
    """Digest of the manifest in a merged base model; None for any other base."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file in `adapter/`, with its configuration; {} in old manifests."""
    version: int = MANIFEST_VERSION

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the outcome; two runs with the same identity have the same result."""
        names = ("stage", "model_revision", "parent", "data", "seed", "protocol")
        # The revision of a merged model covers its manifest, which is one of its files.
        return {name: getattr(self, name) for name in names} | {"recipe": decisive(dict(self.recipe))}

    @property
    def digest(self) -> str:
        """SHA-256 over the identity and the adapter; a child names its parent by it."""
        files = {"files": dict(self.files)} if self.files else {}
        text = json.dumps(self.identity() | {"adapter": self.adapter} | files, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def outcome(self) -> dict[str, Any]:
        """Return the identity with total batch sizes: a smaller batch with more accumulation gives the same stage."""
        return self.identity() | {"recipe": comparable(dict(self.recipe))}

    @property
    def base_commit(self) -> str | None:
        """The commit of the base on the hub; None for a base in a folder."""
        return self.model_revision if _COMMIT.fullmatch(self.model_revision) else None

    def differences(self, other: "Manifest") -> list[str]:
        """Return the differences in the identity between another manifest and this one, in words."""
        ours, theirs = _flat(self.outcome()), _flat(other.outcome())
        names = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
        return [f"{name} was {_short(theirs.get(name))}, is {_short(ours.get(name))}" for name in names]

    def write(self, path: Path) -> None:
        """Write the manifest atomically."""
        with replacing(path) as file:
            file.write(json.dumps(asdict(self) | {"digest": self.digest}, indent=2, sort_keys=True) + "\n")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Whether it was altered is not checked here; `tritrace manifest` does that.

    Raises:
        StageError: missing, not JSON, of another version, or not a manifest; lists every invalid field.
    """
    return _read(path)[0]


def read_seal(path: Path) -> str | None:
    """Return the digest in a manifest's file; None for an old manifest without one.

    Raises:
        StageError: see `read_manifest`.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[Manifest, str | None]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StageError(f"{path}: cannot be read: {error}") from None
    known = {option.name for option in fields(Manifest)}
    # An old manifest may lack only fields that were added later.
    is_manifest = isinstance(record, dict) and _ESSENTIAL <= set(record) <= known | {"digest"}
    if not is_manifest or record.get("version") != MANIFEST_VERSION:
        raise StageError(f"{path}: not a manifest of version {MANIFEST_VERSION}; run the stage again")
    if problems := manifest_problems(record):
        raise StageError([f"{path}: {problem}" for problem in problems])
    seal = record.pop("digest", None)
    return Manifest(**record), seal


def merged_manifest(model: Path) -> Manifest | None:
    """Return the manifest in a merged model's folder; None for an ordinary base without a manifest.

    Raises:
        StageError: it exists and cannot be read.
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
