"""The model a stage trains: a base with one LoRA adapter, fresh or continued from the previous stage."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import set_seed

from eval.models import load_model, load_processor, quiet_libraries, resolve_dtype, tokenizer_of
from stages.arguments import StageArguments
from stages.errors import StageError

# The projections of the language model's layers, by the names that Llama, Qwen, Mistral, Gemma and their
# vision-language children share; vision towers use some of these names too.
LANGUAGE_LAYERS = r"(?!.*(visual|vision|audio))(.*\.)?layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"


@quiet_libraries()
def load_for_training(arguments: StageArguments, seed: int = 0) -> tuple[Any, Any]:
    """Load the base with its adapter, ready to train, and its processor.

    Args:
        arguments: which model, which parent, which adapter.
        seed: of the initial weights of a fresh adapter.

    Returns:
        A `PeftModel` whose adapter is named "default", as TRL needs it, and the processor or tokenizer.

    Raises:
        ModelError: the base cannot be loaded.
        StageError: the parent's adapter cannot be read, or nothing would be trained.
    """
    processor = load_processor(arguments.model)
    base = load_model(arguments.model, dtype=resolve_dtype(arguments.dtype), load_in_4bit=arguments.load_in_4bit)
    set_seed(seed)
    model = _fresh(base, arguments) if arguments.parent is None else _continued(base, Path(arguments.parent))
    if num_trainable(model) == 0:
        raise StageError(f"{arguments.model}: the adapter has no trainable weights")
    return model, processor


def has_vision(processor: Any) -> bool:
    """Whether a processor takes images."""
    return processor is not tokenizer_of(processor)


def num_trainable(model: Any) -> int:
    """Return the number of weights that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def adapter_weights(model: Any, adapter: str = "default") -> dict[str, torch.Tensor]:
    """Return a copy of the weights of an adapter, by names without the adapter's."""
    mark = f".{adapter}."
    return {
        name.replace(mark, "."): parameter.detach().float().cpu().clone()
        for name, parameter in model.named_parameters()
        if mark in name
    }


def is_same_adapter(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two adapters are equal, tensor for tensor."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _fresh(base: Any, arguments: StageArguments) -> Any:
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=arguments.lora_r,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=LANGUAGE_LAYERS if arguments.lora_target == "language" else arguments.lora_target,
    )
    try:
        return get_peft_model(base, config)
    except ValueError as error:  # no layer has such a name
        hint = "try lora_target: all-linear"
        raise StageError(f"{arguments.model}: no layers for lora_target {arguments.lora_target!r}; {hint}") from error


def _continued(base: Any, parent: Path) -> Any:
    try:
        # Without is_trainable the adapter is frozen, and training would change nothing without a complaint.
        return PeftModel.from_pretrained(base, str(parent / "adapter"), is_trainable=True)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: shapes of another model
        reason = str(error).strip().splitlines()[0]
        raise StageError(f"{parent / 'adapter'}: not an adapter of this model: {reason}") from error
