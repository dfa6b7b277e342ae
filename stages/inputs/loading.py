"""The model a stage trains: a base with one LoRA adapter, fresh or continued from the previous stage."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.tensor import DTensor
from transformers import set_seed

from eval.families import changes_of, start_once, targets_of
from eval.models.adapters import adapter_folder, load_adapter
from eval.models.loading import (
    LoadOptions,
    end_ids_of,
    load_model,
    load_processor,
    quiet_libraries,
    resolve_dtype,
    tokenizer_of,
)
from stages.arguments.stage import StageArguments
from stages.errors import StageError
from stages.progress import say

_CHECKPOINTED = "_checkpoint_wrapped_module."
"""What FSDP's own activation checkpointing adds to the names of a layer's weights."""


@quiet_libraries()
def load_for_training(arguments: StageArguments, seed: int = 0, *, trust_remote_code: bool = False) -> tuple[Any, Any]:
    """Load the base with its adapter, ready to train, and its processor.

    Args:
        arguments: which model, which parent, which adapter.
        seed: of the initial weights of a fresh adapter.
        trust_remote_code: run the Python files of the model's folder.

    Returns:
        A `PeftModel` whose adapter is named "default", as TRL needs it, and the processor or tokenizer.

    Raises:
        ModelError: the base or the parent's adapter cannot be loaded.
        StageError: nothing would be trained.
    """
    options = load_options(arguments, trust_remote_code=trust_remote_code)
    dtype = resolve_dtype(arguments.dtype)
    processor = load_processor(arguments.model, options)
    start_once(processor)
    base = load_model(arguments.model, dtype=dtype, load_in_4bit=arguments.load_in_4bit, options=options)
    base.generation_config.eos_token_id = end_ids_of(base, processor)  # which GRPO's rollouts end at
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
    """Return how a stage's base model is read."""
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
    """Return a model's class, dtype, quantisation and attention kernel in a line."""
    dtype = str(resolve_dtype(arguments.dtype)).removeprefix("torch.")
    weights = f"NF4, double quantisation, computes in {dtype}" if arguments.load_in_4bit else dtype
    return f"{type(model).__name__}, {weights}, attention {model.config._attn_implementation}"  # noqa: SLF001


def add_adapter(base: Any, arguments: StageArguments) -> Any:
    """Return the base with the adapter to train: the parent's, or a fresh one where there is no parent.

    Raises:
        ModelError: the parent's adapter is not one of this model.
        StageError: the base has no layers to adapt.
    """
    if arguments.parent is None:
        return fresh_adapter(base, arguments)
    # Frozen, training would change nothing without a complaint.
    return load_adapter(base, adapter_folder(Path(arguments.parent)), is_trainable=True)


def has_vision(processor: Any) -> bool:
    """Whether a processor takes images."""
    return processor is not tokenizer_of(processor)


def num_trainable(model: Any) -> int:
    """Return the number of weights that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def adapter_weights(model: Any, adapter: str = "default") -> dict[str, torch.Tensor]:
    """Return a copy of the weights of an adapter in float32, by names without the adapter's, as PEFT's files have them.

    Where the model is split over processes (FSDP2, ZeRO-3), all of them have to call this, and all get the whole.
    """
    mark = f".{adapter}."
    return {
        name.replace(mark, ".").replace(_CHECKPOINTED, ""): _whole(parameter).float().cpu().clone()
        for name, parameter in model.named_parameters()
        if mark in name
    }


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    """Gather a parameter of which each process has a part; the others stay where they are."""
    if isinstance(parameter, DTensor):
        return parameter.detach().full_tensor()
    if hasattr(parameter, "ds_id"):
        from deepspeed.zero import GatheredParameters  # type: ignore[import-not-found]

        with GatheredParameters([parameter]):
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
    """Have a model's embeddings hooked once, however often checkpointing is switched off and on.

    TRL does so around every pass without gradients. transformers 5.23 then adds hooks and forgets those of before.
    """
    add_hooks = base.enable_input_require_grads

    def replace_hooks() -> None:
        base.disable_input_require_grads()
        add_hooks()

    base.enable_input_require_grads = replace_hooks
