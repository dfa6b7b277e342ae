"""Options for loading a base model and its processor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from data.pictures.pixels import GROUND

_PERMISSIONS = frozenset({"trust_remote_code", "allow_pickle"})
"""Options that allow files of the model to run code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """Options for loading a base model and its processor, except dtype and quantisation."""

    attn_implementation: str | None = None
    """sdpa, eager or flash_attention_2; None lets transformers choose (sdpa if the model supports it)."""
    trust_remote_code: bool = False
    """Run the Python files of the model's folder. Models with their own architecture need it."""
    allow_pickle: bool = False
    """Also read weights in other formats than safetensors; such a file can run code when it is opened."""
    min_pixels: int | None = None
    """Smaller pictures are scaled up to this number of pixels; None keeps the processor's own bound."""
    revision: str | None = None
    """Commit, tag or branch of a model on the hub; None means its main branch. A folder has no revision."""
    max_pixels: int | None = None
    """Larger pictures are scaled down to this number of pixels, which limits their tokens; None keeps the own bound."""
    picture_ground: str = GROUND
    """Background colour for transparent pictures."""
    fold_system: bool = False
    """Put the system message into the first user turn if the chat template rejects it; without this, loading fails."""
    end_token: str | None = None
    """An additional end token, beside those of the model's files; None adds none."""

    @classmethod
    def from_recipe(
        cls, recipe: Mapping[str, Any], *, trust_remote_code: bool = False, allow_pickle: bool = False
    ) -> "LoadOptions":
        """Return the options in a resolved recipe; missing ones keep their default.

        The recipe may come from an untrusted artefact. So its permissions are ignored; the caller gives them.
        """
        described = set(cls.__slots__) - _PERMISSIONS
        named = {name: recipe[name] for name in described if recipe.get(name) is not None}
        return cls(trust_remote_code=trust_remote_code, allow_pickle=allow_pickle, **named)


DEFAULT_OPTIONS = LoadOptions()


def resolve_dtype(name: str) -> torch.dtype:
    """Return the dtype with this name; "auto" is bfloat16 on a GPU that supports it, and float32 elsewhere."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32
