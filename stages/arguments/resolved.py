"""The resolved recipe, which is printed before the first step, logged to MLflow and stored in the manifest."""

from dataclasses import MISSING, fields
from enum import Enum
from typing import Any

from transformers import TrainingArguments

from eval.presets import PRESETS
from stages.arguments.options import Cosmetic, marked, without_effect
from stages.arguments.stage import GRPOArguments, StageArguments, TRLConfig
from toolkit.secrets import redacted_values

# Keys that follow from other values or from the machine. They would only hide the chosen values.
_DERIVED = frozenset(
    {
        "accelerator_config",
        "debug",
        "generation_batch_size",
        "gradient_checkpointing",
        "hub_token",
        "output_dir",
        "pad_to_multiple_of",
        "run_name",
    }
)

# Keys of TRL that change places, display or memory use. Our own keys are marked at their declaration.
_COSMETIC_OF_TRL = frozenset(
    {
        "activation_checkpointing",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "disable_tqdm",
        "logging_first_step",
        "logging_steps",
        "logging_strategy",
        "report_to",
        "save_steps",
        "save_total_limit",
    }
)
_DIVISION = ("per_device_train_batch_size", "gradient_accumulation_steps")


def resolved(arguments: StageArguments, config: TRLConfig) -> dict[str, Any]:
    """Return all our values, and TRL's values that differ from their defaults; of the weights, only the preset's.

    With TRL's version this is the whole recipe, without secrets. It is printed and stored.
    """
    unused = _unused_weights(arguments)
    ours = {
        option.name: getattr(arguments, option.name)
        for option in fields(arguments)
        if option.init and option.name not in unused
    }
    theirs = {}
    for option in fields(config):
        value = _plain(getattr(config, option.name, None))
        if option.init and option.name not in _DERIVED and value != _plain(_default(option)):
            theirs[option.name] = value
    return dict(redacted_values(ours | dict(sorted(theirs.items()))))


def _unused_weights(arguments: StageArguments) -> set[str]:
    """Return the weights of the presets that were not chosen; they have no effect."""
    chosen = getattr(arguments, "reward", None)
    return {option.name for name, preset in PRESETS.items() if name != chosen for option in fields(preset.weights)}


def decisive(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a resolved recipe that decides the outcome of training, without paths.

    Keys without an effect are left out. So a stage is not trained again when a new key is introduced.
    """
    unused = {*_COSMETIC_OF_TRL, *marked(GRPOArguments, Cosmetic), *without_effect(GRPOArguments, recipe)}
    return {name: value for name, value in recipe.items() if name not in unused}


def comparable(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the decisive part with total batch sizes: their division, which saves memory, does not change the outcome.

    The model gets `per_device_train_batch_size` rows at a time. `gradient_accumulation_steps` of these batches make an
    update. In GRPO, `steps_per_generation` of them are sampled together.
    """
    found = decisive(recipe)
    fallback = TrainingArguments.__dataclass_fields__
    batch, accumulation = (found.pop(name, None) or fallback[name].default for name in _DIVISION)
    sampled = found.pop("steps_per_generation", None)
    found["rows_per_update"] = batch * accumulation
    return found if sampled is None else found | {"rows_per_generation": batch * sampled}


def describe(arguments: StageArguments, config: TRLConfig) -> list[str]:
    """Return the resolved recipe as lines, each with its value and whether it is inherited or overridden."""
    lines = []
    values = resolved(arguments, config)
    # A given value is listed even if it became TRL's default, such as a warmup that was cut to 0.
    given = {name: getattr(config, name) for name in arguments.notes if name in arguments.origins}
    for name, value in (values | given).items():
        origin = arguments.origins.get(name)
        note = f"overridden by the {origin}" if origin else "inherited"
        if name in arguments.notes:
            note += f"; {arguments.notes[name]}"
        lines.append(f"  {name:<26} {value!s:<44} {note}")
    return [*lines, f"  {'(all else)':<26} {'as in ' + type(config).__name__:<44} inherited"]


def _default(option: Any) -> Any:
    return option.default_factory() if option.default_factory is not MISSING else option.default


def _plain(value: Any) -> Any:
    """Return a JSON value: enums as their text, sequences as lists."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if not isinstance(value, (int, float, dict, type(None))) else value
