"""Hashes of what a stage is made of and makes: files, adapters, base models."""

import hashlib
from pathlib import Path

from transformers.utils.hub import cached_file, extract_commit_hash

from eval.models.loading import ModelError, split_gguf

_TEMPLATES = "additional_chat_templates/*.jinja"
"""The one subfolder of a model that transformers reads from."""


def model_revision(model: str, revision: str | None = None) -> str:
    """Return what identifies the content of a base model: a folder's or a file's hash, or a commit on the hub.

    Args:
        model: a folder or a name on the hub.
        revision: commit, tag or branch on the hub; None takes its main branch.

    Raises:
        ModelError: there is no such model, or its files cannot be read.
    """
    location, gguf_file = split_gguf(model)
    try:
        if Path(location).is_dir():
            return hash_folder(Path(location), gguf_file or "*")
        path = cached_file(location, gguf_file or "config.json", revision=revision)
    except OSError as error:
        raise ModelError(f"model {model!r}: {str(error).strip().splitlines()[0]}") from error
    return str(extract_commit_hash(path, None))


def adapter_folder(stage: Path) -> Path:
    """Return where a stage's adapter is; one that was trained elsewhere may be the folder itself."""
    is_itself = not (stage / "adapter").is_dir() and (stage / "adapter_config.json").is_file()
    return stage if is_itself else stage / "adapter"


def adapter_hash(stage: Path) -> str:
    """Return the SHA-256 of the weights in a stage's folder."""
    return hash_folder(adapter_folder(stage), "*.safetensors")


def hash_folder(folder: Path, pattern: str = "*") -> str:
    """Return the SHA-256 over the names and contents of the files directly in a folder, and of its chat templates."""
    digest = hashlib.sha256()
    paths = [*folder.glob(pattern), *(folder.glob(_TEMPLATES) if pattern == "*" else ())]
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode(errors="surrogateescape") + b"\0" + _digest(path))
    return digest.hexdigest()


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file directly in a folder, by name, and of its chat templates.

    Hidden files and README.md are left out: they decide nothing that is loaded.
    """
    paths = sorted(path for path in (*folder.glob("*"), *folder.glob(_TEMPLATES)) if path.is_file())
    kept = [path for path in paths if not path.name.startswith(".") and path.name != "README.md"]
    return {path.relative_to(folder).as_posix(): _digest(path).hex() for path in kept}


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
