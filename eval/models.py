"""Loading the base model and its processor, the same way for training and for sampling.

Weights are read from safetensors only, and no code from a model folder is run. Adapters are the caller's
business.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from protocol.errors import UserError

DTYPES = ("auto", "float32", "bfloat16", "float16")


class ModelError(UserError):
    """A model that cannot be loaded; the message names it and the reason."""


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide the warnings that the training libraries cause among themselves, which a user can do nothing about."""
    with warnings.catch_warnings():
        # TRL 1.16 and peft 0.21 read the name that transformers 5.23 deprecates.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        # MLflow 3.17 maps its tables with what SQLAlchemy 2.1 deprecates.
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")
        yield


def resolve_dtype(name: str) -> torch.dtype:
    """Return the dtype of a name; "auto" is bfloat16 on a GPU that has it and float32 elsewhere."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def load_processor(model: str) -> Any:
    """Load the processor of a vision-language model, or the tokenizer of a text model.

    Raises:
        ModelError: there is no such model, or it lacks a tokenizer or a chat template.
    """
    processor = _reading(model, AutoProcessor.from_pretrained, trust_remote_code=False)
    if processor.chat_template is None:
        raise ModelError(f"model {model!r}: has no chat template; use an instruction-tuned model")
    tokenizer = tokenizer_of(processor)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor


def load_model(model: str, *, dtype: torch.dtype, load_in_4bit: bool = False) -> Any:
    """Load a vision-language model, or a text model where the architecture has no vision.

    Args:
        model: a folder, or a name on the hub.
        dtype: of the weights, or of the arithmetic where `load_in_4bit`.
        load_in_4bit: quantise linear layers to NF4, twice over (bitsandbytes); works on the CPU too.

    Raises:
        ModelError: there is no such model, or it has no safetensors weights.
    """
    if not sys.stderr.isatty():
        disable_progress_bar()
    config = _reading(model, AutoConfig.from_pretrained, trust_remote_code=False)
    auto = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "trust_remote_code": False}
    if load_in_4bit:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
        options["device_map"] = {"": torch.cuda.current_device() if torch.cuda.is_available() else "cpu"}
    return _reading(model, auto.from_pretrained, **options)


def tokenizer_of(processor: Any) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a processor, or the tokenizer itself."""
    return getattr(processor, "tokenizer", processor)


def _reading(model: str, load: Any, **options: Any) -> Any:
    try:
        return load(model, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"model {model!r}: {reason}") from error
