"""Loading the base model and its processor, the same way for training and for sampling.

A model is a folder, a name on the hub, or either with a GGUF file behind it (`FOLDER/model.gguf`). Unless asked
otherwise, weights are read from safetensors only and no code from a model folder is run. Adapters are the caller's
business.
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

from data.pixels import GROUND
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
"""Options that let a file of the model run code."""


_UNREADABLE = (
    *(OSError, ValueError, RuntimeError, SafetensorError),
    *(ImportError, NotImplementedError),  # an attention kernel or a reader that is not installed
    *(TypeError, KeyError, AttributeError, IndexError, ZeroDivisionError),  # files that do not hold what they should
    StrictDataclassError,
)
"""What transformers raises on a folder that it cannot read: its readers do not check what they are given."""


class ModelError(UserError):
    """A model that cannot be loaded; the message names it and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How a base model and its processor are read, beside its dtype and quantisation."""

    attn_implementation: str | None = None
    """sdpa, eager or flash_attention_2; None leaves it to transformers, which takes sdpa where the model has it."""
    trust_remote_code: bool = False
    """Run the Python files of the model's folder, which a model of its own architecture needs."""
    allow_pickle: bool = False
    """Also read weights that are no safetensors; such a file can run code when it is opened."""
    min_pixels: int | None = None
    """Smaller pictures are scaled up to so many pixels; None keeps the processor's own bound."""
    revision: str | None = None
    """Commit, tag or branch of a model on the hub; None takes its main branch. A folder has none."""
    max_pixels: int | None = None
    """Larger pictures are scaled down to so many pixels, which bounds their tokens; None keeps the processor's own."""
    picture_ground: str = GROUND
    """Colour that transparent pictures are put on."""
    fold_system: bool = False
    """Put the system message into the first user turn where the chat template takes none; else that is refused."""
    end_token: str | None = None
    """Token at which generation stops beside those that the model's files name; None adds none."""

    @classmethod
    def from_recipe(
        cls, recipe: Mapping[str, Any], *, trust_remote_code: bool = False, allow_pickle: bool = False
    ) -> "LoadOptions":
        """Return the options that a resolved recipe names; what it leaves out keeps its default.

        The recipe may come from an artefact: what it permits itself is not read, the caller gives the permissions.
        """
        described = set(cls.__slots__) - _PERMISSIONS
        named = {name: recipe[name] for name in described if recipe.get(name) is not None}
        return cls(trust_remote_code=trust_remote_code, allow_pickle=allow_pickle, **named)


DEFAULT_OPTIONS = LoadOptions()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide the warnings that the training libraries cause among themselves, which a user can do nothing about."""
    with warnings.catch_warnings():
        # TRL 1.16 and peft 0.21 use the names that transformers 5.23 deprecates.
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing(_\w+)?` is deprecated", FutureWarning)
        # peft looks for a config.json beside a GGUF file, to see whether the embeddings grew; here they never do.
        warnings.filterwarnings("ignore", "Could not find a config file in .* will assume that the vocabulary was not")
        # For the same reason it asks the hub, at every checkpoint, also where there is no network.
        warnings.filterwarnings("ignore", "Unable to fetch remote file due to the following error")
        # MLflow 3.17 maps its tables with what SQLAlchemy 2.1 deprecates.
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")
        yield


def _show_downloads_alone() -> None:
    """Show a bar for what is downloaded, on a terminal, and none for the few seconds of reading and writing a file."""
    were_shown = sys.stderr.isatty() and not are_progress_bars_disabled()
    disable_progress_bar()  # of transformers, and with it those of downloads
    if were_shown:
        enable_progress_bars()


def resolve_dtype(name: str) -> torch.dtype:
    """Return the dtype of a name; "auto" is bfloat16 on a GPU that has it and float32 elsewhere."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def load_processor(model: str, options: LoadOptions = DEFAULT_OPTIONS) -> Any:
    """Load the processor of a vision-language model, or the tokenizer of a text model; it pads on the left.

    Raises:
        ModelError: there is no such model, it lacks a tokenizer or a chat template, the template cannot be used as
            asked, or the bounds on pixels cannot be set.
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
            raise ModelError(f"model {model!r}: end_token {options.end_token!r} is no token of its tokenizer")
        tokenizer.eos_token = options.end_token
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # TRL's GRPO pads prompts on the left itself, and takes the kinds of tokens from the processor as it pads them.
    # Published processors say "right": the marks of image tokens would stand beside them.
    tokenizer.padding_side = "left"
    try:
        adapt_template(processor, fold_system=options.fold_system)
    except UserError as error:
        raise ModelError(f"model {model!r}: {error}") from error
    return processor


def end_tokens(model: str, tokenizer: PreTrainedTokenizerBase, config: Any = None) -> list[int]:
    """Return the tokens at which generation stops: the tokenizer's, and those of the model's generation settings."""
    location, _ = split_gguf(model)
    try:
        declared = GenerationConfig.from_pretrained(location).eos_token_id
    except (OSError, ValueError):  # there is none; transformers then goes by the model's configuration
        declared = None if config is None else getattr(config.get_text_config(), "eos_token_id", None)
    listed = declared if isinstance(declared, list) else [declared]
    return sorted({tokenizer.eos_token_id, *listed} - {None})


def load_config(model: str, options: LoadOptions = DEFAULT_OPTIONS) -> Any:
    """Load a model's configuration and check that this project can train it.

    Raises:
        ModelError: there is no such model, or it is of a kind that is not supported; the message says what is.
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
    """Load a vision-language model, or a text model where the architecture has no vision.

    Args:
        model: a folder or a name on the hub, or one of them with a GGUF file behind it.
        dtype: of the weights, or of the arithmetic where `load_in_4bit`.
        load_in_4bit: quantise linear layers to NF4, twice over (bitsandbytes); works on the CPU too.
        options: how to read it.

    Raises:
        ModelError: there is no such model, it has no safetensors weights, or what is asked for does not go together.
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
        # Packed weights cannot be trained through; unpacked they are an ordinary model.
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
    """Return generation settings without what a base adds to sampling (`eval/models/generation_settings.py`)."""
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return GenerationConfig(**{name: getattr(declared, name, None) for name in names})


def _keep_unpacked(model: torch.nn.Module) -> None:
    """Have bitsandbytes use 4-bit weights as they are stored, on every processor.

    On a CPU with AVX512-BF16 it packs them anew when they are first sampled from (0.50), which fails for layers whose
    sizes are no multiples of its blocks, and leaves nothing that could be dequantised and merged.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return NF4 with double quantisation, as QLoRA has it (arXiv 2305.14314)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def auto_class(config: Any) -> Any:
    """Return the Auto class that makes a model of a configuration."""
    return AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM


def end_ids_of(model: Any, processor: Any) -> list[int]:
    """Return the tokens that end a response: those that model and tokenizer declare, and the template's end of a turn.

    Some models declare only one for documents, and would go on after every turn they were taught to end.
    """
    declared = model.generation_config.eos_token_id
    ids = {tokenizer_of(processor).eos_token_id, turn_end(processor)}
    return sorted((ids | set(declared if isinstance(declared, list) else [declared])) - {None})


def split_gguf(model: str) -> tuple[str, str | None]:
    """Return where a model is and its GGUF file there, which is the last part of its name, or None."""
    if not model.endswith(".gguf"):
        return model, None
    folder, _, name = model.rpartition("/")
    return folder or ".", name


def tokenizer_of(processor: Any) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a processor, or the tokenizer itself."""
    return getattr(processor, "tokenizer", processor)


def _refuse_by_config(model: str, options: LoadOptions) -> None:
    """Refuse a family that is known not to work, and sizes beyond any model, before anything is made of them."""
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
    """Return why a model cannot be loaded as asked, if so."""
    if split_gguf(model)[1]:
        if load_in_4bit:
            return "a GGUF file cannot be quantised again; use the original weights with load_in_4bit"
        return None
    method = (getattr(config, "quantization_config", None) or {}).get("quant_method")
    if method is not None and method != "bitsandbytes":
        return f"is quantised with {method}; use the original weights, with load_in_4bit where memory is short"
    return None


def _reading(model: str, load: Any, options: LoadOptions, **keywords: Any) -> Any:
    location, gguf_file = split_gguf(model)
    if location.count("/") > 1 and not Path(location).exists():  # too deep for a name on the hub
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
                "needs Python files of its own folder, which are not run; if you trust whoever wrote them, "
                "--trust-remote-code (in a recipe trust_remote_code: true) runs them"
            )
        raise ModelError(f"model {model!r}: {reason}") from error
