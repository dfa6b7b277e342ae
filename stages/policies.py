"""What of a run can be sampled: a base model, a merged one, or a stage's adapter on the base that its manifest names.

A stage and a merged model are read as they were for training: pictures scaled alike, the same dtype.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.models import LoadOptions
from eval.policies import HFPolicy
from protocol.errors import UserError
from protocol.prompt import Style
from stages.lifecycle import model_revision
from stages.manifest import Manifest, merged_manifest, read_manifest


@dataclass(frozen=True, slots=True)
class Subject:
    """A checkpoint, not loaded yet."""

    model: str
    """Folder or hub name of the base model."""
    stage: Path | None
    """Folder of the stage whose adapter goes onto it; None for the model itself."""
    manifest: Manifest | None
    """Of the stage, or of the stages that a merged model holds; None for any other model."""
    quantise: bool | None = None
    """Quantise the base to 4 bits or not; None does as the stage was trained."""

    @property
    def load_in_4bit(self) -> bool:
        """Whether the base is quantised."""
        return self._is_trained_in_4bit if self.quantise is None else self.quantise

    @property
    def _is_trained_in_4bit(self) -> bool:
        return self.stage is not None and self.manifest is not None and bool(self.manifest.recipe.get("load_in_4bit"))

    @property
    def style(self) -> Style:
        """How its prompts put a plan into words: as in training, or in full for a model that has not learnt it."""
        return "compact" if self.manifest and self.manifest.data.get("prompt_style") == "compact" else "full"

    def identity(self) -> dict[str, Any]:
        """Return what tells it from every other checkpoint.

        Raises:
            ModelError: there is no such model.
        """
        own = {"load_in_4bit": self.load_in_4bit} if self.load_in_4bit != self._is_trained_in_4bit else {}
        adapter = self.manifest.adapter if self.stage and self.manifest else None
        return {"model": model_revision(self.model), "adapter": adapter} | own

    def load(self, **sampling: Any) -> HFPolicy:
        """Load it.

        Args:
            sampling: what `HFPolicy` takes beside the checkpoint: batch size, limits, temperature, seed.

        Raises:
            ModelError: the model or the adapter cannot be loaded.
        """
        recipe = self.manifest.recipe if self.manifest else {}
        return HFPolicy(
            self.model,
            self.stage / "adapter" if self.stage else None,
            load_in_4bit=self.load_in_4bit,
            dtype=str(recipe.get("dtype", "auto")),
            options=LoadOptions.from_recipe(recipe),
            **sampling,
        )


def subject_of(model: str | None = None, stage: Path | None = None, *, quantise: bool | None = None) -> Subject:
    """Return the checkpoint that a model's name or a stage's folder stands for, its manifest read.

    Raises:
        UserError: neither or both are given.
        StageError: the stage has no manifest, or a model's cannot be read.
    """
    if (model is None) == (stage is None):
        raise UserError("give either a base model or the folder of a stage")
    if stage is not None:
        manifest = read_manifest(stage / "manifest.json")
        return Subject(manifest.model, stage, manifest, quantise)
    return Subject(str(model), None, merged_manifest(Path(str(model))), quantise)


def load_policy(model: str | None = None, stage: Path | None = None, **sampling: Any) -> HFPolicy:
    """Load what `subject_of` names, to be sampled as `sampling` says.

    Raises:
        UserError: neither or both are given.
        StageError: the stage has no manifest.
        ModelError: the model or the adapter cannot be loaded.
    """
    return subject_of(model, stage).load(**sampling)
