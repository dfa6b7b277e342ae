"""Handles an adapter that was trained elsewhere: a peft folder without a manifest, for evaluation or further training.

Its training is unknown. A manifest in memory states that, with the hashes of its files. So a stage that continues it
names exactly these files.
"""

import json
from pathlib import Path

from data.files.hashing import file_hashes
from eval.models.adapters import adapter_folder, adapter_hash
from stages.errors import StageError
from stages.provenance.manifest import Manifest

STAGE = "elsewhere"


def is_elsewhere(folder: Path) -> bool:
    """Whether a folder has an adapter and no manifest."""
    has_adapter = (adapter_folder(folder) / "adapter_config.json").is_file()
    return has_adapter and not (folder / "manifest.json").is_file() and not (folder / "checkpoints").is_dir()


def base_of(folder: Path) -> str:
    """Return the base model that an adapter names.

    Raises:
        StageError: it names no base model.
    """
    path = adapter_folder(folder) / "adapter_config.json"
    try:
        named = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise StageError(f"{path}: cannot be read: {error}") from None
    if not isinstance(named, str) or not named:
        raise StageError(f"{path}: names no base model; give it with --model")
    return named


def manifest_of(folder: Path, model: str, model_revision: str) -> Manifest:
    """Return a manifest for an adapter that was trained elsewhere.

    Args:
        folder: folder of the adapter.
        model: the base model for the adapter.
        model_revision: revision of that base.
    """
    return Manifest(
        stage=STAGE,
        model=model,
        model_revision=model_revision,
        parent=None,
        recipe={},
        data={},
        seed=0,
        protocol="",
        versions={},
        adapter=adapter_hash(folder),
        files=file_hashes(adapter_folder(folder)),
        start=STAGE,
    )
