"""Builds a model without its weights: the real classes on the meta device, from a configuration.

`stages/shapes/<name>/config.json` has the shapes of some models, so that their memory is known without a download.
`stages/shapes/sources.toml` states the sources of their values.
"""

from dataclasses import dataclass
from importlib.resources import files
from math import ceil
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from transformers import AutoConfig
from transformers.quantizers.base import get_keys_to_not_convert

from eval.models.adapters import adapter_folder, read_adapter_config
from eval.models.loading import auto_class, quiet_libraries
from eval.models.options import resolve_dtype
from protocol.nearest import nearest
from stages.arguments.stage import StageArguments
from stages.errors import StageError
from stages.inputs.loading import fresh_adapter, num_trainable
from stages.memory.linear_attention import LinearShape, linear_shape
from stages.memory.vision import VisionShape, has_patch_hook, is_vision, residual_element, vision_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes that determine the memory of a training step; widths in elements."""

    num_parameters: int
    """Parameters of the base; tied weights count once."""
    weight_bytes: int
    """Bytes of the loaded base, quantised or not."""
    merged_bytes: int
    """Bytes of the adapted layers as dense weights; 0 if they are not merged for sampling."""
    num_text: int
    """Parameters of the base that every token uses: without embeddings, head and vision tower."""
    num_vision: int
    """Parameters of the vision tower."""
    num_trainable: int
    """Weights of the adapter."""
    element: int
    """Bytes of an element of the hidden states."""
    quantised: bool
    lora_r: int
    adapts_vision: bool
    vision_element: int
    """Bytes of an element between two blocks of the vision tower."""
    vision_learns: bool
    """Whether the vision tower takes part in the backward pass with checkpointing, even if nothing in it is trained."""
    layers: int
    full_layers: int
    """Number of layers that keep keys and values of every token; those with linear attention keep a state.

    A layer with a sliding window counts too: what transformers 5.23 keeps of a prompt is a view of all of it.
    """
    hidden: int
    intermediate: int
    attention: int
    """Total width of the query heads."""
    key_value: int
    """Total width of the key heads, which equals that of the value heads."""
    heads: int
    vocabulary: int
    has_head_norms: bool
    """Whether queries and keys are normalised per head (Qwen3)."""
    num_norms: int
    """Norms of a layer, those of heads apart: two, or four where the outputs of attention and feed-forward have one."""
    has_masks: bool
    """Whether every batch has a mask of tokens by tokens: for sliding windows, or pictures whose tokens see each other.

    transformers then repeats keys and values to as many heads as the queries have.
    """
    linear: LinearShape | None
    """Layers with linear attention (Qwen3.5)."""
    vision: VisionShape | None


def shape_names() -> list[str]:
    """Return the names of models whose shape is in the repository."""
    return sorted(entry.name for entry in files("stages").joinpath("shapes").iterdir() if entry.is_dir())


def shape_config(name: str) -> Any:
    """Return the configuration of a model whose shape is in the repository.

    Raises:
        StageError: there is no shape with this name.
    """
    if name not in shape_names():
        hint = nearest(name, shape_names())
        known = ", ".join(shape_names())
        raise StageError(f"--shape: there is no {name!r}" + (f"; {hint}" if hint else "") + f"; known are {known}")
    return AutoConfig.from_pretrained(str(files("stages").joinpath("shapes", name)))


def meta_model(config: Any, dtype: torch.dtype) -> Any:
    """Return the model of a configuration on the meta device: all modules and shapes, without weights."""
    with torch.device("meta"):
        return auto_class(config).from_config(config, dtype=dtype)


@quiet_libraries()
def model_shape(config: Any, arguments: StageArguments) -> ModelShape:
    """Return the shape of a model as a stage trains it, with its adapter.

    Raises:
        ModelError: the parent's adapter cannot be read.
        StageError: the adapter does not belong to this model, or the base has no layers to adapt.
    """
    dtype = resolve_dtype(arguments.dtype)
    model = meta_model(config, dtype)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    num_vision = sum(weight.numel() for name, weight in model.named_parameters() if is_vision(name))
    ends = {id(end.weight): end.weight.numel() for end in (model.get_input_embeddings(), model.get_output_embeddings())}
    weight_bytes = weights_bytes(model, load_in_4bit=arguments.load_in_4bit)
    adapted = _adapted(model, arguments)
    targets = {name: module for name, module in adapted.named_modules() if hasattr(module, "lora_A")}
    dense = sum(module.get_base_layer().weight.numel() for module in targets.values()) * dtype.itemsize
    text = config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    names = [name for name, _ in model.named_modules()]
    return ModelShape(
        num_parameters=num_parameters,
        num_text=num_parameters - num_vision - sum(ends.values()),
        num_vision=num_vision,
        weight_bytes=weight_bytes,
        merged_bytes=0 if arguments.load_in_4bit or not getattr(arguments, "merge_for_sampling", True) else dense,
        num_trainable=num_trainable(adapted),
        element=dtype.itemsize,
        quantised=arguments.load_in_4bit,
        lora_r=max(next(iter(module.r.values())) for module in targets.values()),
        adapts_vision=any(map(is_vision, targets)),
        vision_element=residual_element(model, dtype, quantised=arguments.load_in_4bit),
        vision_learns=has_patch_hook(model),
        layers=text.num_hidden_layers,
        full_layers=_full_layers(text),
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        attention=text.num_attention_heads * head,
        key_value=(getattr(text, "num_key_value_heads", None) or text.num_attention_heads) * head,
        heads=text.num_attention_heads,
        vocabulary=text.vocab_size,
        has_head_norms=any(name.endswith("self_attn.q_norm") for name in names),
        num_norms=sum(".layers.0." in name and name.endswith("layernorm") and not is_vision(name) for name in names),
        has_masks="sliding_attention" in _layer_types(text),
        linear=linear_shape(text),
        vision=vision_shape(config),
    )


def weights_bytes(model: Any, *, load_in_4bit: bool) -> int:
    """Return the bytes of a base model's weights.

    NF4 in bitsandbytes has half a byte per weight, a scale of one byte for 64 weights, and a float32 scale for 256 of
    these scales. All linear layers are quantised except the head and weights tied to it.
    """
    kept = set(get_keys_to_not_convert(model)) if load_in_4bit else set()
    quantised = {
        id(module.weight)
        for name, module in model.named_modules()
        if load_in_4bit and isinstance(module, torch.nn.Linear) and not _is_kept(name, kept)
    }
    return sum(
        _nf4_bytes(parameter.numel()) if id(parameter) in quantised else parameter.numel() * parameter.element_size()
        for parameter in model.parameters()
    )


def _is_kept(name: str, kept: set[str]) -> bool:
    return any(name == key or name.startswith(f"{key}.") or name.endswith(f".{key}") for key in kept)


def _nf4_bytes(num_weights: int) -> int:
    scales = ceil(num_weights / 64)
    tables = 4 * (16 + 256 + 1)  # the codes of both quantisations, and the mean of the scales
    return ceil(num_weights / 2) + scales + 4 * ceil(scales / 256) + tables


def _adapted(model: Any, arguments: StageArguments) -> Any:
    if arguments.parent is None:
        return fresh_adapter(model, arguments)
    adapter = adapter_folder(Path(arguments.parent))
    config = read_adapter_config(adapter)
    config.inference_mode = False
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise StageError(f"{adapter}: not an adapter of this model: {str(error).splitlines()[0]}") from error


def _full_layers(text: Any) -> int:
    return sum(kind != "linear_attention" for kind in _layer_types(text))


def _layer_types(text: Any) -> list[str]:
    return getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
