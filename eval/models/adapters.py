"""Loads a LoRA adapter onto a base model, in the same way for training, sampling and merging.

The folder is not trusted, so its `adapter_config.json` is checked: only settings of a plain LoRA adapter are accepted,
the ranks must match the weights, and every weight must have a place in the base. A partly fitting adapter would give
wrong responses without an error, because peft only warns.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open

from data.files.hashing import hash_folder
from data.files.numbers import is_finite_number
from eval.families import TARGETS
from eval.models.loading import quiet_libraries
from eval.models.reading import ModelError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_MAX_CONFIG_BYTES = 2**20
_MAX_RANK = 65_536
_PREFIX = "base_model.model."
_LORA = re.compile(r"^base_model\.model\.(?P<module>[\w.]+)\.lora_(?P<side>A|B|embedding_A|embedding_B)(\.weight)?$")
_NAME = re.compile(r"[\w.]{1,300}")
_INITIALISATIONS = (True, False, "gaussian")
"""Accepted values of `init_lora_weights`. The others run long computations and change the base."""
_FREE = frozenset(
    {
        "alpha_pattern",
        "auto_mapping",
        "base_model_name_or_path",
        "bias",
        "ensure_weight_tying",
        "exclude_modules",
        "fan_in_fan_out",
        "inference_mode",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "lora_bias",
        "lora_dropout",
        "modules_to_save",
        "peft_type",
        "peft_version",
        "r",
        "rank_pattern",
        "revision",
        "target_modules",
        "task_type",
        "use_dora",
        "use_rslora",
    }
)
"""Settings that may differ from peft's defaults; each one is harmless or is checked below."""


def adapter_folder(stage: Path) -> Path:
    """Return the folder of a stage's adapter; for an adapter that was trained elsewhere it may be the folder itself."""
    is_itself = not (stage / "adapter").is_dir() and (stage / "adapter_config.json").is_file()
    return stage if is_itself else stage / "adapter"


def adapter_hash(stage: Path) -> str:
    """Return the SHA-256 of the adapter weights in a stage's folder."""
    return hash_folder(adapter_folder(stage), "*.safetensors")


@quiet_libraries()
def load_adapter(model: Any, folder: Path, *, is_trainable: bool = False) -> Any:
    """Return a base model with the adapter of a folder, named "default".

    Args:
        model: the base model.
        folder: folder with `adapter_config.json` and `adapter_model.safetensors`.
        is_trainable: whether to continue training it; otherwise it is frozen.

    Raises:
        ModelError: the folder holds no adapter, its configuration is not a plain LoRA adapter, or it is not an adapter
            of this model; the message names the file and the field.
    """
    shapes = _shapes(folder / WEIGHTS)
    config = _config(folder / CONFIG, shapes)
    base_keys = {_PREFIX + name for name in model.state_dict()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found missing adapter keys")  # reported below as an error
            adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=is_trainable, config=config)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError) as error:
        # RuntimeError: shapes of another model; the others: a configuration that peft cannot process.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{folder}: not an adapter of this model: {reason}") from error
    places = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    renamed = getattr(model, "_checkpoint_conversion_mapping", None)  # then peft renames the weights
    if not renamed and (problem := _misfit(set(shapes), places, base_keys)):
        raise ModelError(f"{folder}: not an adapter of this model: {problem}")
    return adapted


def read_adapter_config(folder: Path) -> LoraConfig:
    """Return the configuration of an adapter, after a check against the names and shapes of its weights.

    Raises:
        ModelError: see `load_adapter`.
    """
    return _config(folder / CONFIG, _shapes(folder / WEIGHTS))


def _misfit(weights: set[str], places: set[str], base: set[str]) -> str | None:
    """Return how an adapter's weights and their places in the model differ; None if they match."""
    unused, empty = sorted(weights - places - base), sorted(places - weights)
    if unused:
        return f"{len(unused)} of its {len(weights)} weights have no place in the model, such as {unused[0]}"
    if empty:
        return f"{len(empty)} places in the model have no weights in {WEIGHTS}, such as {empty[0]}"
    return None


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights by name; only the header of the file is read."""
    if not path.is_file():
        raise ModelError(f"{path}: does not exist; an adapter is read from safetensors only")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None


def _config(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> LoraConfig:
    record = _record(path)
    if problems := list(_problems(record, shapes)):
        raise ModelError("\n".join(f"{path}: {problem}" for problem in problems))
    known = {option.name for option in fields(LoraConfig) if option.init}
    return LoraConfig(**{name: value for name, value in _by_name(record, shapes).items() if name in known})


def _record(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ModelError(f"{path}: is larger than {_MAX_CONFIG_BYTES // 2**20} MiB, more than any configuration")
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None
    if not isinstance(record, dict):
        raise ModelError(f"{path}: expected a JSON object, found {type(record).__name__}")
    return record


def _by_name(record: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the configuration with each layer named in full, as the weights name it.

    An untrusted pattern, matched against every module's name, could take for ever.
    """
    choices = {"exclude_modules": None, "layers_to_transform": None, "layers_pattern": None}
    targets = record.get("target_modules")
    is_plain = isinstance(targets, list) or (isinstance(targets, str) and targets in TARGETS)
    if is_plain and not any(record.get(name) for name in choices):
        return dict(record)
    return {**record, **choices, "target_modules": sorted(_modules(shapes))}


def _modules(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Return the rank of each layer with weights."""
    found = {}
    for name, shape in shapes.items():
        match = _LORA.match(name)
        if match and shape:
            found[match["module"]] = shape[0] if match["side"] in {"A", "embedding_A"} else shape[-1]
    return found


def _problems(record: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    if record.get("peft_type") != "LORA":
        yield f"peft_type: expected LORA, found {record.get('peft_type')!r:.60}"
        return
    options = {option.name: option for option in fields(LoraConfig)}
    for name, value in record.items():
        if name not in _FREE and value and not (name in options and value == _default(options[name])):
            yield f"{name}: expected {_wanted(options.get(name))}, found {value!r:.60}; only plain LoRA is loaded"
    if not _modules(shapes):
        yield f"there are no LoRA weights in {WEIGHTS}"
    yield from _unfit_values(record)
    yield from _unfit_ranks(record, shapes)


def _default(option: Field[Any]) -> Any:
    return option.default_factory() if option.default_factory is not MISSING else option.default


def _wanted(option: Field[Any] | None) -> str:
    return "no such key" if option is None else f"{_default(option)!r}"


def _unfit_values(record: Mapping[str, Any]) -> Iterator[str]:
    alpha, dropout = record.get("lora_alpha", 8), record.get("lora_dropout", 0.0)
    if not is_finite_number(alpha) or alpha <= 0:
        yield f"lora_alpha: expected a number above 0, found {alpha!r:.60}"
    if not is_finite_number(dropout) or not 0 <= dropout < 1:
        yield f"lora_dropout: expected a share from 0 to below 1, found {dropout!r:.60}"
    if record.get("init_lora_weights", True) not in _INITIALISATIONS:
        yield f"init_lora_weights: expected true, found {record['init_lora_weights']!r:.60}; trained weights need none"
    if record.get("bias", "none") not in {"none", "all", "lora_only"}:
        yield f"bias: expected none, all or lora_only, found {record['bias']!r:.60}"
    targets = record.get("target_modules")
    if not isinstance(targets, str) and not _are_names(targets):
        yield f"target_modules: expected names of layers or a pattern, found {targets!r:.60}"
    if not _are_names(record.get("modules_to_save") or []):
        yield f"modules_to_save: expected names of modules, found {record['modules_to_save']!r:.60}"


def _unfit_ranks(record: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """Compare the stated ranks with the ranks of the weights, before memory of that size is allocated."""
    rank = record.get("r", 8)
    patterns = {name: record.get(name) or {} for name in ("rank_pattern", "alpha_pattern")}
    for name, pattern in patterns.items():
        if (
            not isinstance(pattern, dict)
            or not _are_names(list(pattern))
            or not all(map(is_finite_number, pattern.values()))
        ):
            yield f"{name}: expected numbers by the names of layers, found {pattern!r:.60}"
            return
    if not isinstance(rank, int) or not 1 <= rank <= _MAX_RANK:
        yield f"r: expected a rank from 1 to {_MAX_RANK:,}, found {rank!r:.60}"
        return
    for module, found in _modules(shapes).items():
        # peft uses the first name that is the end of a layer's name.
        names = (name for name in patterns["rank_pattern"] if module == name or module.endswith(f".{name}"))
        stated = patterns["rank_pattern"].get(next(names, ""), rank)
        if stated != found:
            yield f"r: states rank {stated} for {module}, whose weights have rank {found}"
            return


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and _NAME.fullmatch(name) for name in value)
