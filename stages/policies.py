"""Policies of a run: a stage's adapter on the base that its manifest names, read as it was for training."""

from pathlib import Path
from typing import Any

from eval.models import LoadOptions
from eval.policies import HFPolicy
from protocol.errors import UserError
from stages.manifest import read_manifest


def load_policy(model: str | None = None, stage: Path | None = None, **sampling: Any) -> HFPolicy:
    """Load what is to be sampled from.

    Args:
        model: folder or hub name of a base model.
        stage: folder of a stage instead, with its adapter and manifest.
        sampling: what `HFPolicy` takes beside the checkpoint: batch size, limits, temperature, seed.

    Raises:
        UserError: neither or both are given.
        StageError: the stage has no manifest.
        ModelError: the model or the adapter cannot be loaded.
    """
    if (model is None) == (stage is None):
        raise UserError("give either a base model or the folder of a stage")
    if stage is None:
        return HFPolicy(str(model), **sampling)
    manifest = read_manifest(stage / "manifest.json")
    return HFPolicy(
        manifest.model,
        stage / "adapter",
        load_in_4bit=bool(manifest.recipe.get("load_in_4bit")),
        dtype=str(manifest.recipe.get("dtype", "auto")),
        options=LoadOptions.from_recipe(manifest.recipe),
        **sampling,
    )
