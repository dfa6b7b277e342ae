"""Loads the base model and its processor, in the same way for training and for sampling.

A model is a folder or a name on the hub, optionally followed by a GGUF file (`FOLDER/model.gguf`). By default, weights
are read from safetensors only and no code of a model folder is run. `adapters.py` loads adapters.
"""

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from data.pictures.pixels import GROUND
from eval.families import adapt_template, family_of, refusal_of, scaling_of, turn_end
from eval.models.bounds import config_problem
from eval.models.template_trial import template_problem, templates_of
from protocol.errors import UserError

DTYPES = ("auto", "float32", "bfloat16", "float16")
SUPPORTED = (
    "supported are decoder-only text models (AutoModelForCausalLM) and vision-language models "
    "(AutoModelForImageTextToText), as safetensors or, text only, as GGUF"
)

_PERMISSIONS = frozenset({"trust_remote_code", "allow_pickle"})
"""Options that allow files of the model to run code."""


_UNREADABLE = (
    *(OSError, ValueError, RuntimeError, SafetensorError),
    *(ImportError, NotImplementedError),  # an attention kernel or a reader that is not installed
    *(TypeError, KeyError, AttributeError, IndexError, ZeroDivisionError),  # files with unexpected content
    StrictDataclassError,
)
"""Exceptions of transformers for a folder that it cannot read. Its readers do not check their input."""


class ModelError(UserError):
    """A model cannot be loaded; the message names the model and the reason."""


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


def resolve_dtype(name: str) -> torch.dtype:
    """Return the dtype with this name; "auto" is bfloat16 on a GPU that supports it, and float32 elsewhere."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def load_processor(model: str, options: LoadOptions = DEFAULT_OPTIONS) -> Any:
    """Load the processor of a vision-language model, or the tokenizer of a text model; both pad on the left.

    Raises:
        ModelError: there is no such model, it has no tokenizer or no chat template, the template cannot be used, or the
            bounds on pixels cannot be set.
    """
    _refuse_by_config(model, options)
    auto = AutoTokenizer if split_gguf(model)[1] else AutoProcessor
    processor = _reading(model, auto.from_pretrained, options)
    if processor.chat_template is None:
        raise ModelError(f"model {model!r}: has no chat template; use an instruction-tuned model")
    if problem := template_problem(templates_of(processor, tokenizer_of(processor))):
        raise ModelError(f"model {model!r}: {problem}")
    tokenizer = tokenizer_of(processor)
    bounds = (options.min_pixels, options.max_pixels)
    if any(bounds) and processor is not tokenizer and (problem := scaling_of(processor).bound(processor, bounds)):
        raise ModelError(f"model {model!r}: {problem}")
    if options.end_token is not None:
        if options.end_token not in tokenizer.get_vocab():
            raise ModelError(f"model {model!r}: end_token {options.end_token!r} is not a token of its tokenizer")
        tokenizer.eos_token = options.end_token
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # TRL's GRPO pads prompts on the left itself, but takes the token types from the processor with its padding.
    # Published processors pad on the right; the marks of image tokens would then be at wrong positions.
    tokenizer.padding_side = "left"
    try:
        adapt_template(processor, fold_system=options.fold_system)
    except UserError as error:
        raise ModelError(f"model {model!r}: {error}") from error
    return processor


def end_tokens(model: str, tokenizer: PreTrainedTokenizerBase, config: Any = None) -> list[int]:
    """Return the end tokens: those of the tokenizer and those of the model's generation settings."""
    location, _ = split_gguf(model)
    try:
        declared = GenerationConfig.from_pretrained(location).eos_token_id
    except (OSError, ValueError):  # no such file; transformers then uses the model's configuration
        declared = None if config is None else getattr(config.get_text_config(), "eos_token_id", None)
    listed = declared if isinstance(declared, list) else [declared]
    return sorted({tokenizer.eos_token_id, *listed} - {None})


def load_config(model: str, options: LoadOptions = DEFAULT_OPTIONS) -> Any:
    """Load a model's configuration and check that this project can train it.

    Raises:
        ModelError: there is no such model, or it is not supported; the message says which models are.
    """
    _refuse_by_config(model, options)
    config = _reading(model, AutoConfig.from_pretrained, options)
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
    loaded = _reading(model, auto_class(config).from_pretrained, options, **keywords)
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


def end_ids_of(model: Any, processor: Any) -> list[int]:
    """Return the tokens that end a response: those of model and tokenizer, and the template's end of a turn.

    Some models declare only an end token for documents. Without the end of a turn they would continue after each turn.
    """
    declared = model.generation_config.eos_token_id
    ids = {tokenizer_of(processor).eos_token_id, turn_end(processor)}
    return sorted((ids | set(declared if isinstance(declared, list) else [declared])) - {None})


def split_gguf(model: str) -> tuple[str, str | None]:
    """Split a model's name into its place and its GGUF file, which is the last part of the name, or None."""
    if not model.endswith(".gguf"):
        return model, None
    folder, _, name = model.rpartition("/")
    return folder or ".", name


def tokenizer_of(processor: Any) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a processor, or the tokenizer itself."""
    return getattr(processor, "tokenizer", processor)


def _refuse_by_config(model: str, options: LoadOptions) -> None:
    """Reject families that do not work, and sizes beyond any real model, before a configuration is built."""
    if split_gguf(model)[1] is not None:
        return
    record, _ = _reading(model, PreTrainedConfig.get_config_dict, options)
    if not isinstance(record, dict):
        raise ModelError(f"model {model!r}: config.json: expected a JSON object, found {type(record).__name__}")
    if refusal := refusal_of(str(record.get("model_type", ""))):
        raise ModelError(f"model {model!r}: is {refusal}")
    if problem := config_problem(record):
        raise ModelError(f"model {model!r}: config.json: {problem}")


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


def _reading(model: str, load: Any, options: LoadOptions, **keywords: Any) -> Any:
    location, gguf_file = split_gguf(model)
    if location.count("/") > 1 and not Path(location).exists():  # not a name on the hub: too many parts
        raise ModelError(f"model {model!r}: there is no folder {Path(location).absolute()}; name it in full")
    keywords["trust_remote_code"] = options.trust_remote_code
    if options.revision:
        keywords["revision"] = options.revision
    if gguf_file:
        keywords["gguf_file"] = gguf_file
    try:
        return load(location, **keywords)
    except _UNREADABLE as error:
        reason = " ".join((str(error).strip() or type(error).__name__).splitlines()[:2])
        if "trust_remote_code" in str(error) and not options.trust_remote_code:
            reason = (
                "needs Python files of its own folder, which are not run; if you trust their authors, "
                "--trust-remote-code (in a recipe trust_remote_code: true) runs them"
            )
        raise ModelError(f"model {model!r}: {reason}") from error
