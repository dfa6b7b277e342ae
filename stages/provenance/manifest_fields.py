"""Checks the fields of a manifest, because a manifest may come from an untrusted folder."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from data.pictures.pixels import is_colour
from stages.spec import SPECS

_Check: TypeAlias = Callable[[Any], bool]


def manifest_problems(record: Mapping[str, Any]) -> list[str]:
    """Return a message for each invalid field of a manifest, with the expected value."""
    return [*_unfit(record, _FIELDS, ""), *_unfit(_mapping(record.get("recipe")), _RECIPE, "recipe.")]


def _unfit(record: Mapping[str, Any], checks: Mapping[str, tuple[str, _Check]], prefix: str) -> Iterator[str]:
    for name, (expected, holds) in checks.items():
        if name in record and not holds(record[name]):
            yield f"{prefix}{name}: expected {expected}, found {record[name]!r:.60}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value, re.ASCII) is not None


def _mapping_of(holds: _Check) -> _Check:
    return lambda value: isinstance(value, dict) and all(holds(item) for item in value.values())


def _one_of(*choices: object) -> _Check:
    return lambda value: value is None or (isinstance(value, str) and value in choices)


def _or_none(holds: _Check) -> _Check:
    return lambda value: value is None or holds(value)


_TEXT, _HASH = ("a text", _is_text), ("64 hexadecimal digits or null", _or_none(_is_hash))
_COUNT = ("a number of 1 or more, or null", _or_none(_is_positive))
_STAGES = frozenset({*SPECS, "elsewhere"})
"""The last one is for the export of an adapter that was trained elsewhere."""
_FIELDS: dict[str, tuple[str, _Check]] = {
    "stage": ("sft, dpo, grpo or elsewhere", lambda value: isinstance(value, str) and value in _STAGES),
    "model": _TEXT,
    "model_revision": _TEXT,
    "parent": _HASH,
    "recipe": ("an object", lambda value: isinstance(value, dict)),
    "data": ("texts by name", _mapping_of(_is_text)),
    "seed": ("a whole number", _is_integer),
    "protocol": _TEXT,
    "versions": ("texts by name", _mapping_of(_is_text)),
    "adapter": _HASH,
    "metrics": ("numbers by name", _mapping_of(_is_number)),
    "seconds": ("a number", _is_number),
    "resumed_from_step": ("a whole number or null", _or_none(_is_integer)),
    "peak_memory_bytes": ("a whole number", _is_integer),
    "peak_reserved_bytes": ("a whole number or null", _or_none(_is_integer)),
    "peak_host_bytes": ("a whole number or null", _or_none(_is_integer)),
    "device": _TEXT,
    "start": _TEXT,
    "merged": _HASH,
    "files": ("hashes by the names of files", _mapping_of(_is_hash)),
    "digest": _HASH,
}
_RECIPE: dict[str, tuple[str, _Check]] = {
    "data": _TEXT,
    "parent": ("a text or null", _or_none(_is_text)),
    "max_rows": _COUNT,
    "per_device_train_batch_size": _COUNT,
    "gradient_accumulation_steps": _COUNT,
    "steps_per_generation": _COUNT,
    "min_pixels": _COUNT,
    "max_pixels": _COUNT,
    "picture_ground": ("a colour", lambda value: isinstance(value, str) and is_colour(value)),
    "fold_system": ("true or false", lambda value: isinstance(value, bool)),
    "load_in_4bit": ("true or false", lambda value: isinstance(value, bool)),
    "dtype": ("auto, float32, bfloat16 or float16", _one_of("auto", "float32", "bfloat16", "float16")),
    "attn_implementation": ("sdpa, eager or flash_attention_2", _one_of("sdpa", "eager", "flash_attention_2")),
}
"""The keys of a recipe that evaluation, export, the chain and a resumed stage read."""
