"""Reads a flat YAML recipe and lists every mistake in it, with its line.

It checks keys and types against the fields of dataclasses. Users of the values check their combinations. This is our
own code, because the `HfArgumentParser` of transformers checks no types in a YAML file and does not name the line.
"""

import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from data.files.text import NotTextError, read_text
from protocol.nearest import nearest
from stages.errors import NO_RECIPE, StageError


def read_recipe(path: str | Path, classes: Sequence[type], reserved: Mapping[str, str]) -> dict[str, Any]:
    """Read a recipe whose keys are fields of the given dataclasses.

    Args:
        path: the YAML file.
        classes: the dataclasses.
        reserved: fields that a recipe may not set, and what to use instead.

    Raises:
        StageError: unreadable, not flat YAML, unknown or reserved keys, values of the wrong type; all listed.
    """
    values, line_of = read_yaml(path)
    hints = option_hints(classes)
    problems = []
    for key, value in values.items():
        if key in reserved:
            problems.append(f"{path}:{line_of[key]}: {key} cannot be set; use {reserved[key]}")
        elif key not in hints:
            problems.append(f"{path}:{line_of[key]}: {unknown_key(key, hints)}")
        elif not fits(value, hints[key]):
            problems.append(f"{path}:{line_of[key]}: {key}: expected {_expected(hints[key])}, found {value!r}")
    if problems:
        raise StageError(problems)
    return values


def read_yaml(path: str | Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a YAML mapping: its values, and the line of each key.

    Raises:
        StageError: missing, not YAML, not a mapping with text keys, or a key given twice.
    """
    try:
        text = read_text(Path(path))
        node = yaml.compose(text)
        values = yaml.safe_load(text)
    except NotTextError as error:
        raise StageError(str(error)) from None
    except OSError as error:
        hint = f"; {NO_RECIPE}" if isinstance(error, FileNotFoundError) else ""
        raise StageError(f"{path}: {error.strerror or error}{hint}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise StageError(f"{path}{where}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(node, yaml.MappingNode) or not all(isinstance(key, str) for key in values):
        raise StageError(f"{path}: expected lines of `key: value`")
    return values, _lines(path, node)


def option_hints(classes: Sequence[type]) -> dict[str, Any]:
    """Return the type of every constructor field of the dataclasses."""
    return {
        name: hint
        for cls in classes
        for name, hint in get_type_hints(cls).items()
        if (option := cls.__dataclass_fields__.get(name)) is not None and option.init  # type: ignore[attr-defined]
    }


_NAMES_ELSEWHERE = {
    "adapter_name_or_path": "parent",
    "batch_size": "per_device_train_batch_size",
    "cutoff_len": "max_tokens",
    "dataset": "data",
    "epochs": "num_train_epochs",
    "image_max_pixels": "max_pixels",
    "image_min_pixels": "min_pixels",
    "lora_rank": "lora_r",
    "lora_target_modules": "lora_target",
    "lr": "learning_rate",
    "max_new_tokens": "max_completion_length",
    "max_seq_length": "max_tokens",
    "micro_batch_size": "per_device_train_batch_size",
    "model_id": "model",
    "model_name_or_path": "model",
    "num_epochs": "num_train_epochs",
    "per_device_batch_size": "per_device_train_batch_size",
    "quantization_bit": "load_in_4bit",
    "rank": "lora_r",
    "target_modules": "lora_target",
}
"""Names of keys in LLaMA-Factory, ms-swift, TRL's scripts and peft, where our most similar name is a different key."""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the message for an unknown key, with the key that was probably meant.

    >>> unknown_key("lora_rank", ["local_rank", "lora_r"])
    "unknown key 'lora_rank'; did you mean lora_r?"
    """
    names = set(known)
    meant = _NAMES_ELSEWHERE.get(key)
    hint = f"did you mean {meant}?" if meant in names else nearest(key, sorted(names))
    return f"unknown key {key!r}" + (f"; {hint}" if hint else "")


def fits(value: object, hint: Any) -> bool:
    """Whether a YAML value fits a type."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, alternative) for alternative in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    kind = origin or hint
    if kind in (int, float):
        return not isinstance(value, bool) and (isinstance(value, (int, kind)) or _is_number(value, kind))
    if isinstance(kind, type) and issubclass(kind, str):
        return isinstance(value, str)  # also for enums of transformers, whose values are strings
    return not isinstance(kind, type) or isinstance(value, kind)


def _lines(path: str | Path, node: yaml.MappingNode) -> dict[str, int]:
    line_of: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.value in line_of:
            raise StageError(f"{path}:{line}: {key.value} is given twice, first in line {line_of[key.value]}")
        line_of[key.value] = line
    return line_of


def _is_number(value: object, kind: Any) -> bool:
    """Whether a string is a number: YAML 1.1 reads 1e-4 as text."""
    try:
        kind(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return isinstance(value, str)


def _expected(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_expected(alternative) for alternative in get_args(hint)))
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return "null" if hint is type(None) else str(getattr(hint, "__name__", hint))
