"""Switches off the sampling settings of a base's `generation_config.json`, which would change results unnoticed.

Qwen2.5-VL comes with a temperature, `top_k` and a repetition penalty; other models forbid repeated n-grams. Training
and evaluation follow only the recipe: greedy, or plain sampling at a temperature. The end tokens are kept.
"""

from typing import Any

from transformers import GenerationConfig

from eval.models.processors import end_ids_of, tokenizer_of
from eval.models.reading import split_gguf

_KEPT = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
_OF_THE_FILE = ("transformers_version", "use_cache", "cache_implementation", "max_length", "max_new_tokens")


def added_settings(model: str) -> dict[str, Any]:
    """Return the generation settings of a base that change plain sampling, by name; {} if there are none."""
    try:
        declared = GenerationConfig.from_pretrained(split_gguf(model)[0])
    except (OSError, ValueError):
        return {}
    changed: dict[str, Any] = declared.to_diff_dict()
    return {
        name: value
        for name, value in changed.items()
        if name not in (*_KEPT, *_OF_THE_FILE) and not name.startswith("_") and value not in (None, False)
    }


def in_words(settings: dict[str, Any]) -> str:
    """Return settings as text, such as "top_k 1, repetition_penalty 1.05"."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def greedy_settings(model: Any, processor: Any) -> GenerationConfig:
    """Return the settings for the evaluation of a checkpoint: greedy, until the end of a turn."""
    pad = tokenizer_of(processor).pad_token_id
    return GenerationConfig(do_sample=False, eos_token_id=end_ids_of(model, processor), pad_token_id=pad)
