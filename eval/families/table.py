"""The table of model families: which layers get an adapter, and how pictures are scaled.

Only this file names families. A family that is not in the table is loaded in the default way, and preflight says that
it was not tried. `RESULTS.md` lists what was tried with each family; `tests/families/` does it.
"""

from dataclasses import dataclass
from typing import Any

from eval.families.scaling import AREA, FIXED, GRIDS, SPLIT, TILES, UNKNOWN, Scaling

_NOT_VISION = r"(?!.*(visual|vision|audio))(.*\.)?layers\.\d+\."
_PROJECTIONS = r"(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"
LANGUAGE_LAYERS = _NOT_VISION + _PROJECTIONS
"""The projections of a language model's layers, by the names that Llama, Qwen, Mistral, Gemma and their vision-language
children share. Vision towers use some of these names too."""
HYBRID_LAYERS = rf"{_NOT_VISION}({_PROJECTIONS}|linear_attn\.(in_proj_qkv|in_proj_z|out_proj))"
"""The same, with the projections of layers that have a gated delta net instead of attention. Its two small projections
(decay and step size of each head) get no adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model family."""

    name: str
    model_types: tuple[str, ...]
    """Values of `model_type` in `config.json`."""
    processors: tuple[str, ...] = ()
    """Classes of its processors; empty for a text model."""
    scaling: Scaling = UNKNOWN
    """Scaling of pictures by its processor."""
    targets: str = LANGUAGE_LAYERS
    """Pattern of the full names of the layers that get an adapter, in peft's form."""


FAMILIES = (
    Family(name="Qwen2.5-VL", model_types=("qwen2_5_vl",), processors=("Qwen2_5_VLProcessor",), scaling=AREA),
    Family(name="Qwen3-VL", model_types=("qwen3_vl",), processors=("Qwen3VLProcessor",), scaling=AREA),
    Family(
        name="Qwen3.5",
        model_types=("qwen3_5", "qwen3_5_text"),
        processors=("Qwen3VLProcessor",),
        scaling=AREA,
        targets=HYBRID_LAYERS,
    ),
    Family(name="SmolVLM2", model_types=("smolvlm",), processors=("SmolVLMProcessor",), scaling=SPLIT),
    Family(name="Gemma 3", model_types=("gemma3",), processors=("Gemma3Processor",), scaling=FIXED),
    Family(name="InternVL 3.5", model_types=("internvl",), processors=("InternVLProcessor",), scaling=TILES),
    Family(
        name="LLaVA-OneVision",
        model_types=("llava_onevision",),
        processors=("LlavaOnevisionProcessor",),
        scaling=GRIDS,
    ),
    Family(name="text models of the Llama kind", model_types=("llama", "mistral", "qwen2", "qwen3", "gemma3_text")),
)

OTHER = Family(name="another family", model_types=())
"""Defaults for a family that is not in the table."""

TARGETS = frozenset(each.targets for each in (*FAMILIES, OTHER))
"""All patterns of layers that our adapters can have."""
_REFUSED = {
    "internvl_chat": "InternVL with code of its own; use the checkpoint for transformers, named ...-HF",
    "llava_qwen": "LLaVA-OneVision with code of its own; use the checkpoint for transformers, named ...-ov-hf",
}


def family_of(config: Any) -> Family:
    """Return the family of a model's configuration; `OTHER` if it is not in the table."""
    return next((each for each in FAMILIES if config.model_type in each.model_types), OTHER)


def scaling_of(processor: Any) -> Scaling:
    """Return the scaling of a processor."""
    name = type(processor).__name__
    return next((each.scaling for each in FAMILIES if name in each.processors), UNKNOWN)


def targets_of(config: Any) -> str:
    """Return the pattern of the full names of the layers that get a new adapter."""
    return family_of(config).targets


def refusal_of(model_type: str) -> str | None:
    """Return why models of a type do not work here, and what to use instead; None if no problem is known."""
    return _REFUSED.get(model_type)


def tried_names() -> str:
    """Return the names of the families that were tried, for messages."""
    return ", ".join(each.name for each in FAMILIES)
