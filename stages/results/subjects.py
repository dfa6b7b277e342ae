"""Finds and loads checkpoints: a base model, a merged model, or a stage's adapter on the base in its manifest.

A stage and a merged model are loaded with the options of their training: the same scaling of pictures, the same dtype.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.files.hashing import file_hashes
from eval.models.adapters import adapter_folder, adapter_hash
from eval.models.options import LoadOptions
from eval.models.reading import ModelError
from eval.models.revision import model_revision
from eval.policies.checkpoint import HFPolicy
from protocol.errors import UserError
from protocol.plans.prompt import Style
from stages.provenance.elsewhere import base_of, is_elsewhere, manifest_of
from stages.provenance.manifest import Manifest
from stages.provenance.trust import NO_PERMISSIONS, Permissions, check_model, check_stage, load_options
from stages.results.vllm import VLLMError, VLLMPolicy, VLLMSettings


@dataclass(frozen=True, slots=True)
class UnloadedCheckpoint:
    """A checkpoint that is not loaded yet."""

    model: str
    """Folder or hub name of the base model."""
    stage: Path | None
    """Folder of the stage with the adapter; None for the model without an adapter."""
    manifest: Manifest | None
    """Manifest of the stage, or of a merged model; None for any other model."""
    quantise: bool | None = None
    """Whether to quantise the base to 4 bits; None does it as in the stage's training."""
    permissions: Permissions = NO_PERMISSIONS
    """Permissions of the user; the manifest cannot change them."""
    revision: str | None = None
    """Revision of a base on the hub without a manifest; None means its main branch."""
    picture_ground: str | None = None
    """Background colour for transparent pictures; None uses that of the training, or white."""

    @property
    def load_in_4bit(self) -> bool:
        """Whether the base is quantised."""
        return self._is_trained_in_4bit if self.quantise is None else self.quantise

    @property
    def _is_trained_in_4bit(self) -> bool:
        return self.stage is not None and self.manifest is not None and bool(self.manifest.recipe.get("load_in_4bit"))

    @property
    def _options(self) -> LoadOptions:
        options = load_options(self.manifest, self.permissions)
        options = options if self.stage else replace(options, revision=self.revision)
        return replace(options, picture_ground=self.picture_ground or options.picture_ground)

    @property
    def style(self) -> Style:
        """The style of its prompts: that of its training, or "full" for a model without one."""
        return "compact" if self.manifest and self.manifest.data.get("prompt_style") == "compact" else "full"

    def identity(self) -> dict[str, Any]:
        """Return the identity of the checkpoint, with the current hashes of its files.

        Raises:
            ModelError: there is no such model.
        """
        own: dict[str, Any] = {}
        if self.load_in_4bit != self._is_trained_in_4bit:
            own["load_in_4bit"] = self.load_in_4bit
        if self._options.picture_ground != load_options(self.manifest, self.permissions).picture_ground:
            own["picture_ground"] = self._options.picture_ground
        adapter = adapter_hash(self.stage) if self.stage else None
        named, files = self.manifest.files if self.manifest and self.stage else {}, self._adapter_files()
        if named and files != named:  # a difference that the user allowed
            own["adapter_files"] = files
        return {"model": model_revision(self.model, self._options.revision), "adapter": adapter} | own

    def _adapter_files(self) -> dict[str, str]:
        return file_hashes(adapter_folder(self.stage)) if self.stage else {}

    def load(self, **sampling: Any) -> HFPolicy:
        """Load the checkpoint as a policy.

        Args:
            sampling: further arguments of `HFPolicy`: batch size, limits, temperature, seed.

        Raises:
            ModelError: the model or the adapter cannot be loaded, or the adapter changed during loading.
        """
        recipe = self.manifest.recipe if self.manifest else {}
        before = self._adapter_files()
        policy = HFPolicy(
            self.model,
            adapter_folder(self.stage) if self.stage else None,
            load_in_4bit=self.load_in_4bit,
            dtype=str(recipe.get("dtype", "auto")),
            options=self._options,
            **sampling,
        )
        if self._adapter_files() != before:
            raise ModelError(f"{self.stage}: its adapter was changed while it was loaded; run the command again")
        return policy

    def load_vllm(self, python: str, *, max_new_tokens: int) -> VLLMPolicy:
        """Prepare sampling with vLLM, in the environment of another interpreter.

        Raises:
            ModelError: the model or the adapter cannot be read.
            VLLMError: vLLM cannot serve it.
        """
        if self.load_in_4bit:
            raise VLLMError(
                "--vllm: does not quantise as training does; `tritrace export --merge` makes a whole model of the stage"
            )
        settings = VLLMSettings(
            python=python,
            model=self.model,
            adapter=adapter_folder(self.stage) if self.stage else None,
            dtype=str((self.manifest.recipe if self.manifest else {}).get("dtype", "auto")),
            max_new_tokens=max_new_tokens,
        )
        return VLLMPolicy(settings, self._options)


def subject_of(
    model: str | None = None,
    stage: Path | None = None,
    *,
    quantise: bool | None = None,
    permissions: Permissions = NO_PERMISSIONS,
) -> UnloadedCheckpoint:
    """Return the checkpoint of a model's name or a stage's folder, after a check of its chain.

    An adapter that was trained elsewhere has no chain. Its base is the given model, or the one that it names.

    Args:
        model: a folder, or a name on the hub, optionally with a revision: `NAME@REVISION`.
        stage: folder of a stage; its manifest names the revision of its base.
        quantise: see `UnloadedCheckpoint`.
        permissions: permissions of the user.

    Raises:
        UserError: neither or both are given.
        StageError: the stage has no manifest, a model's cannot be read, or the chain is broken.
    """
    if stage is not None and is_elsewhere(stage):
        base = model or base_of(stage)
        return UnloadedCheckpoint(base, stage, manifest_of(stage, base, model_revision(base)), quantise, permissions)
    if (model is None) == (stage is None):
        raise UserError("give either a base model or the folder of a stage")
    allow_broken = permissions.allow_broken
    if stage is not None:
        manifest = check_stage(stage, allow_broken=allow_broken)
        return UnloadedCheckpoint(manifest.model, stage, manifest, quantise, permissions)
    name, _, revision = (str(model), "", "") if Path(str(model)).exists() else str(model).partition("@")
    manifest_inside = check_model(name, allow_broken=allow_broken)
    return UnloadedCheckpoint(name, None, manifest_inside, quantise, permissions, revision or None)


def load_policy(
    model: str | None = None, stage: Path | None = None, *, permissions: Permissions = NO_PERMISSIONS, **sampling: Any
) -> HFPolicy:
    """Load the checkpoint of `subject_of` as a policy, with the given sampling options.

    Raises:
        UserError: neither or both are given.
        StageError: the stage has no manifest, or its chain is broken.
        ModelError: the model or the adapter cannot be loaded.
    """
    return subject_of(model, stage, permissions=permissions).load(**sampling)
