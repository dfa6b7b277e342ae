"""Loads the processor of a model: its tokenizer, its chat template, and the scaling of pictures."""

from typing import Any

from transformers import AutoProcessor, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from eval.families import adapt_template, scaling_of, turn_end
from eval.models.options import DEFAULT_OPTIONS, LoadOptions
from eval.models.reading import ModelError, read_files, refuse_by_config, split_gguf
from eval.models.template_trial import template_problem, templates_of
from protocol.errors import UserError


def load_processor(model: str, options: LoadOptions = DEFAULT_OPTIONS) -> Any:
    """Load the processor of a vision-language model, or the tokenizer of a text model; both pad on the left.

    Raises:
        ModelError: there is no such model, it has no tokenizer or no chat template, the template cannot be used, or the
            bounds on pixels cannot be set.
    """
    refuse_by_config(model, options)
    auto = AutoTokenizer if split_gguf(model)[1] else AutoProcessor
    processor = read_files(model, auto.from_pretrained, options)
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


def end_ids_of(model: Any, processor: Any) -> list[int]:
    """Return the tokens that end a response: those of model and tokenizer, and the template's end of a turn.

    Some models declare only an end token for documents. Without the end of a turn they would continue after each turn.
    """
    declared = model.generation_config.eos_token_id
    ids = {tokenizer_of(processor).eos_token_id, turn_end(processor)}
    return sorted((ids | set(declared if isinstance(declared, list) else [declared])) - {None})


def tokenizer_of(processor: Any) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a processor, or the tokenizer itself."""
    return getattr(processor, "tokenizer", processor)
