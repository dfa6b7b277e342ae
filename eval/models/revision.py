"""The revision of a base model, which identifies its content."""

from pathlib import Path

from transformers.utils.hub import cached_file, extract_commit_hash

from data.files.hashing import hash_folder
from eval.models.reading import ModelError, split_gguf


def model_revision(model: str, revision: str | None = None) -> str:
    """Return the revision of a base model: the hash of a folder or file, or a commit on the hub.

    Args:
        model: a folder or a name on the hub.
        revision: commit, tag or branch on the hub; None means its main branch.

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
