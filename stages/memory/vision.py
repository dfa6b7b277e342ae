"""The vision tower of a model: its sizes, and what decides the memory of its passes."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from eval.families import family_of
from eval.families.room import Largest, largest_picture, most_tokens
from eval.families.scaling import AREA, merged_side, side_of


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionShape:
    """The vision tower."""

    layers: int
    hidden: int
    intermediate: int
    patch: int
    """Side of a patch, in pixels."""
    patches_a_token: int
    patch_values: int
    """Number of values of a patch: channels x frames x side x side."""
    config: Any
    """The model's configuration, which decides the scaling of its pictures."""

    @property
    def takes_any_size(self) -> bool:
        """Whether a picture may have any size between two bounds (Qwen)."""
        return family_of(self.config).scaling is AREA

    def tokens_of(self, pixels: int) -> int:
        """Return the maximum number of tokens of a picture with this number of pixels."""
        return most_tokens(family_of(self.config).scaling, self.config, pixels)

    def largest(self, tokens: int) -> Largest:
        """Return the bound on pixels for pictures with this number of tokens, and their maximum number of tokens."""
        return largest_picture(family_of(self.config).scaling, self.config, tokens)


def vision_shape(model_config: Any) -> VisionShape | None:
    """Return the vision tower of a model's configuration; None for a text model."""
    config = getattr(model_config, "vision_config", None)
    if config is None:
        return None
    merge, patch = merged_side(model_config), side_of(config.patch_size)
    frames: int = getattr(config, "temporal_patch_size", 1)
    channels: Any = getattr(config, "in_channels", None) or getattr(config, "num_channels", 3)
    return VisionShape(
        layers=getattr(config, "depth", None) or config.num_hidden_layers,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        patch=patch,
        patches_a_token=merge**2,
        patch_values=int(channels) * frames * patch**2,
        config=model_config,
    )


def is_vision(name: str) -> bool:
    """Whether a module or parameter with this name belongs to the vision tower."""
    return ".visual." in name or "vision" in name


def residual_element(model: Any, dtype: torch.dtype, *, quantised: bool) -> int:
    """Return the bytes of an element between two blocks of the vision tower.

    Under autocast PyTorch's layer norms return float32. Dense layers then return the half precision of autocast, but a
    4-bit layer of bitsandbytes returns the type of its input, so that float32 is added to the residual stream.
    """
    norms = (module for name, module in model.named_modules() if is_vision(name))
    widens = quantised and any(isinstance(module, torch.nn.LayerNorm) for module in norms)
    return int((torch.float32 if widens else dtype).itemsize)


def has_patch_hook(model: Any) -> bool:
    """Whether the embeddings of patches require gradients with checkpointing.

    `enable_input_require_grads` of transformers, which TRL calls, looks for the input embeddings of every model inside
    the model. It finds those of the vision tower in most families; in Qwen3-VL and Qwen3.5 it does not.
    """
    towers = (module for name, module in model.named_modules() if is_vision(f"{name}."))
    return any(isinstance(tower, PreTrainedModel) and _has_embeddings(tower) for tower in towers)


def _has_embeddings(tower: PreTrainedModel) -> bool:
    try:
        return hasattr(tower.get_input_embeddings(), "register_forward_hook")
    except NotImplementedError:
        return False
