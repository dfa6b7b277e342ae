"""Loads the base model, in the same way for training and for sampling.

A model is a folder or a name on the hub, optionally followed by a GGUF file (`FOLDER/model.gguf`). By default, weights
are read from safetensors only and no code of a model folder is run. `processors.py` loads its processor, and
`adapters.py` loads adapters.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
    GenerationConfig,
    GgufConfig,
)
from transformers.utils.logging import disable_progress_bar

from eval.families import family_of
from eval.models.options import DEFAULT_OPTIONS, LoadOptions
from eval.models.reading import ModelError, read_files, refuse_by_config, split_gguf

SUPPORTED = (
    "supported are decoder-only text models (AutoModelForCausalLM) and vision-language models "
    "(AutoModelForImageTextToText), as safetensors or, text only, as GGUF"
)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide warnings that the training libraries cause among themselves; users can do nothing about them."""
    with warnings.catch_warnings():
        # TRL 1.16 and peft 0.21 use names that transformers 5.23 deprecates.
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing(_\w+)?` is deprecated", FutureWarning)
        # peft looks for a config.json beside a GGUF file to see whether the embeddings grew; they never do here.
        warnings.filterwarnings("ignore", "Could not find a config file in .* will assume that the vocabulary was not")
        # For the same reason it asks the hub at every checkpoint, even without a network.
        warnings.filterwarnings("ignore", "Unable to fetch remote file due to the following error")
        # MLflow 3.17 uses a feature that SQLAlchemy 2.1 deprecates.
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")
        yield


def _show_downloads_alone() -> None:
    """Show a progress bar for downloads on a terminal, and none for reading and writing files."""
    were_shown = sys.stderr.isatty() and not are_progress_bars_disabled()
    disable_progress_bar()  # the bars of transformers, and also those of downloads
    if were_shown:
        enable_progress_bars()


def load_config(model: str, options: LoadOptions = DEFAULT_OPTIONS) -> Any:
    """Load a model's configuration and check that this project can train it.

    Raises:
        ModelError: there is no such model, or it is not supported; the message says which models are.
    """
    refuse_by_config(model, options)
    config = read_files(model, AutoConfig.from_pretrained, options)
    remote = getattr(config, "auto_map", None) if options.trust_remote_code else None
    if type(config) not in auto_class(config)._model_mapping and not remote:  # noqa: SLF001
        raise ModelError(f"model {model!r}: a {config.model_type} model is not supported; {SUPPORTED}")
    return config


def load_model(
    model: str, *, dtype: torch.dtype, load_in_4bit: bool = False, options: LoadOptions = DEFAULT_OPTIONS
) -> Any:
    """Load a vision-language model, or a text model if the architecture has no vision.

    Args:
        model: a folder or a name on the hub, optionally followed by a GGUF file.
        dtype: dtype of the weights; with `load_in_4bit`, dtype of the arithmetic.
        load_in_4bit: quantise linear layers to NF4 with double quantisation (bitsandbytes); works on the CPU too.
        options: options for loading.

    Raises:
        ModelError: there is no such model, it has no safetensors weights, or the options contradict each other.
    """
    _show_downloads_alone()
    config = load_config(model, options)
    if problem := _clash(model, config, load_in_4bit=load_in_4bit):
        raise ModelError(f"model {model!r}: {problem}")
    keywords: dict[str, Any] = {
        "dtype": dtype,
        "use_safetensors": None if options.allow_pickle else True,
    }
    if options.attn_implementation:
        keywords["attn_implementation"] = options.attn_implementation
    if split_gguf(model)[1]:
        # Gradients cannot flow through packed weights; unpacked, they are an ordinary model.
        keywords["quantization_config"] = GgufConfig(dequantize=True)
    if load_in_4bit:
        keywords["quantization_config"] = nf4(dtype)
        keywords["device_map"] = {"": torch.cuda.current_device() if torch.cuda.is_available() else "cpu"}
    loaded = read_files(model, auto_class(config).from_pretrained, options, **keywords)
    loaded.generation_config = _plain_sampling(loaded.generation_config)
    if load_in_4bit:
        _keep_unpacked(loaded)
    if options.min_pixels or options.max_pixels:
        family_of(config).scaling.bound_config(loaded.config, (options.min_pixels, options.max_pixels))
    return loaded


def _plain_sampling(declared: GenerationConfig | None) -> GenerationConfig:
    """Return generation settings without those that change sampling (`eval/models/generation_settings.py`)."""
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return GenerationConfig(**{name: getattr(declared, name, None) for name in names})


def _keep_unpacked(model: torch.nn.Module) -> None:
    """Make bitsandbytes use 4-bit weights in their stored form on every processor.

    On a CPU with AVX512-BF16, bitsandbytes 0.50 packs the weights again at the first sampling. This fails for layers
    whose sizes are not multiples of its blocks, and the packed weights can no longer be dequantised and merged.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return NF4 with double quantisation, as in QLoRA (arXiv 2305.14314)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def auto_class(config: Any) -> Any:
    """Return the Auto class that builds a model from a configuration."""
    return AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM


def _clash(model: str, config: Any, *, load_in_4bit: bool) -> str | None:
    """Return why a model cannot be loaded with these options; None if it can."""
    if split_gguf(model)[1]:
        if load_in_4bit:
            return "a GGUF file cannot be quantised again; use the original weights with load_in_4bit"
        return None
    method = (getattr(config, "quantization_config", None) or {}).get("quant_method")
    if method is not None and method != "bitsandbytes":
        return f"is quantised with {method}; use the original weights, with load_in_4bit if memory is short"
    return None
