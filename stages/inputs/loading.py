"""Loads the model that a stage trains: a base with one LoRA adapter, which is new or the previous stage's."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.tensor import DTensor
from transformers import set_seed

from eval.families import changes_of, start_once, targets_of
from eval.models.adapters import adapter_folder, load_adapter
from eval.models.loading import load_model, quiet_libraries
from eval.models.options import LoadOptions, resolve_dtype
from eval.models.processors import end_ids_of, load_processor, tokenizer_of
from stages.arguments.stage import StageArguments
from stages.errors import StageError
from stages.progress import say

_CHECKPOINTED = "_checkpoint_wrapped_module."
"""FSDP's own activation checkpointing adds this to the names of a layer's weights."""


@quiet_libraries()
def load_for_training(arguments: StageArguments, seed: int = 0, *, trust_remote_code: bool = False) -> tuple[Any, Any]:
    """Load the base with its adapter, ready to train, and its processor.

    Args:
        arguments: name the model, the parent and the adapter.
        seed: seed of the initial weights of a new adapter.
        trust_remote_code: run the Python files of the model's folder.

    Returns:
        A `PeftModel` whose adapter is named "default", as TRL needs it, and the processor or tokenizer.

    Raises:
        ModelError: the base or the parent's adapter cannot be loaded.
        StageError: the adapter has no trainable weights.
    """
    options = load_options(arguments, trust_remote_code=trust_remote_code)
    dtype = resolve_dtype(arguments.dtype)
    processor = load_processor(arguments.model, options)
    start_once(processor)
    base = load_model(arguments.model, dtype=dtype, load_in_4bit=arguments.load_in_4bit, options=options)
    base.generation_config.eos_token_id = end_ids_of(base, processor)  # GRPO's rollouts end at this token
    say(f"model: {describe_model(base, arguments)}")
    if changed := changes_of(processor):
        say(f"chat template: {changed}")
    set_seed(seed)
    _hook_once(base)
    model = add_adapter(base, arguments)
    if num_trainable(model) == 0:
        raise StageError(f"{arguments.model}: the adapter has no trainable weights")
    return model, processor


def load_options(arguments: StageArguments, *, trust_remote_code: bool) -> LoadOptions:
    """Return how a stage's base model is loaded."""
    names = (
        "attn_implementation",
        "allow_pickle",
        "revision",
        "min_pixels",
        "max_pixels",
        "picture_ground",
        "fold_system",
        "end_token",
    )
    return LoadOptions(trust_remote_code=trust_remote_code, **{name: getattr(arguments, name) for name in names})


def describe_model(model: Any, arguments: StageArguments) -> str:
    """Return a line with a model's class, dtype, quantisation and attention kernel."""
    dtype = str(resolve_dtype(arguments.dtype)).removeprefix("torch.")
    weights = f"NF4, double quantisation, computes in {dtype}" if arguments.load_in_4bit else dtype
    return f"{type(model).__name__}, {weights}, attention {model.config._attn_implementation}"  # noqa: SLF001


def add_adapter(base: Any, arguments: StageArguments) -> Any:
    """Return the base with the adapter to train: the parent's, or a new one if there is no parent.

    Raises:
        ModelError: the parent's adapter belongs to another model.
        StageError: the base has no layers to adapt.
    """
    if arguments.parent is None:
        return fresh_adapter(base, arguments)
    # If it were frozen, training would change nothing and report nothing.
    return load_adapter(base, adapter_folder(Path(arguments.parent)), is_trainable=True)


def has_vision(processor: Any) -> bool:
    """Whether a processor takes images."""
    return processor is not tokenizer_of(processor)


def num_trainable(model: Any) -> int:
    """Return the number of weights that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def adapter_weights(model: Any, adapter: str = "default") -> dict[str, torch.Tensor]:
    """Return a float32 copy of an adapter's weights. Their names leave out the adapter's name, as in PEFT's files.

    If the model is split over processes (FSDP2, ZeRO-3), every process must call this, and each gets all weights.
    """
    mark = f".{adapter}."
    return {
        name.replace(mark, ".").replace(_CHECKPOINTED, ""): _whole(parameter).float().cpu().clone()
        for name, parameter in model.named_parameters()
        if mark in name
    }


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    """Gather a parameter that is split over processes; return any other parameter unchanged."""
    if isinstance(parameter, DTensor):
        return parameter.detach().full_tensor()
    if hasattr(parameter, "ds_id"):
        import deepspeed  # type: ignore[import-not-found]

        with deepspeed.zero.GatheredParameters([parameter]):  # `zero` is an attribute there, not a module
            return parameter.detach().clone()
    return parameter.detach()


def is_same_adapter(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two adapters are equal, tensor for tensor."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def fresh_adapter(base: Any, arguments: StageArguments) -> Any:
    """Return the base with a new adapter.

    Raises:
        StageError: the base has no layers to adapt.
    """
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=arguments.lora_r,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=targets_of(base.config) if arguments.lora_target == "language" else arguments.lora_target,
    )
    try:
        return get_peft_model(base, config)
    except ValueError as error:  # no layer has such a name
        hint = "try lora_target: all-linear"
        raise StageError(f"{arguments.model}: no layers for lora_target {arguments.lora_target!r}; {hint}") from error


def _hook_once(base: Any) -> None:
    """Keep one hook on a model's embeddings, however often checkpointing is switched off and on.

    TRL switches it around every pass without gradients. Each time, transformers 5.23 adds a hook and never removes it.
    """
    add_hooks = base.enable_input_require_grads

    def replace_hooks() -> None:
        base.disable_input_require_grads()
        add_hooks()

    base.enable_input_require_grads = replace_hooks
