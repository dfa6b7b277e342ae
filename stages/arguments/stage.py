"""Options of a stage: our few fields in addition to TRL's, in one flat YAML file and on the command line.

    tritrace dpo --config stages/recipes/pocket/dpo.yaml --model MODEL --parent RUN/sft --learning_rate 1e-4

A flag overrides the file, the file overrides our defaults, and our defaults override TRL's.
`stages/arguments/resolved.py` prints the result.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar, cast, overload

import torch
import trl
from trl import DPOConfig, GRPOConfig, SFTConfig, TrlParser

from data.pictures.pixels import GROUND, is_colour
from eval.models.options import resolve_dtype
from eval.models.reading import split_gguf
from eval.presets.safegrpo import SafegrpoWeights
from eval.presets.safer_toolkit import SaferToolkitWeights
from eval.presets.safer_vlm import SaferVlmWeights
from eval.presets.tritrace import TritraceWeights
from stages.arguments.impossible import refused_by_trainer
from stages.arguments.judge import JudgeArguments, missing_for_judge
from stages.arguments.options import COSMETIC, COUNT, NEUTRAL, PART, POSITIVE, out_of_bounds
from stages.arguments.reading import fits, option_hints, read_recipe, unknown_key
from stages.arguments.rollouts import RolloutArguments, rollout_problems, without_bite
from stages.errors import StageError
from stages.spec import SPECS, Stage

TRLConfig: TypeAlias = SFTConfig | DPOConfig | GRPOConfig

RecipeT = TypeVar("RecipeT")


@dataclass(frozen=True, kw_only=True)
class StageArguments:
    """Inputs and outputs of a stage, and the options of its adapter. The seed is a field of TRL."""

    model: Annotated[str, COSMETIC]
    """Folder or hub name of the base model; a text model may be followed by its GGUF file (`FOLDER/x.gguf`)."""
    revision: Annotated[str | None, COSMETIC] = None
    """Commit, tag or branch of a model on the hub; none means its main branch, whose next commit is a different
    base."""
    data: Annotated[str, COSMETIC]
    """The rows file to train on."""
    output: Annotated[str, COSMETIC]
    """Folder of this stage: `adapter/`, `manifest.json`, `checkpoints/`."""
    parent: Annotated[str | None, COSMETIC] = None
    """Folder of the previous stage, whose adapter is continued; none starts a fresh adapter on the base."""
    max_rows: Annotated[int | None, COUNT] = None
    """Train only on this number of first rows."""
    max_tokens: Annotated[int | None, COUNT, COSMETIC] = None
    """Limit of a row in tokens, with image tokens and (in GRPO) the longest completion. Longer rows are an error."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Dtype of the base weights; auto is bfloat16 on a GPU that supports it, else float32. The adapter is float32."""
    load_in_4bit: bool = False
    """Quantise the base to NF4 with double quantisation (bitsandbytes)."""
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] | None = None
    """Attention kernel; none lets transformers choose (sdpa if the model supports it). The choice is printed."""
    allow_pickle: Annotated[bool, COSMETIC] = False
    """Also read weights in other formats than safetensors; such a file can run code when it is opened."""
    allow_broken: Annotated[bool, COSMETIC] = False
    """Accept a parent or a merged model that does not match its manifest; the differences are printed."""
    min_pixels: Annotated[int | None, COUNT] = None
    """Smaller pictures are scaled up to this number of pixels; none keeps the processor's own bound."""
    max_pixels: Annotated[int | None, COUNT] = None
    """Larger pictures are scaled down to this number of pixels, which limits their tokens; none keeps the own bound."""
    picture_ground: Annotated[str, NEUTRAL] = GROUND
    """Background colour for transparent pictures, by name or as #rrggbb; white words need a dark one."""
    fold_system: Annotated[bool, NEUTRAL] = False
    """Put the system message into the first user turn if the chat template rejects it; without this, loading fails."""
    special_tokens: Annotated[Literal["refuse", "escape"], NEUTRAL] = "refuse"
    """Rows whose texts contain special tokens of the model: report an error, or keep them with a blank in the token."""
    end_token: Annotated[str | None, NEUTRAL] = None
    """Token that ends a response, if the template uses another one than the tokenizer; none keeps the tokenizer's."""
    extend: Annotated[bool, COSMETIC] = False
    """Continue a finished stage to more steps, if the result equals that of a longer run; otherwise move it aside."""
    lora_r: Annotated[int, COUNT] = 16
    """Rank of a new adapter; a continued adapter keeps its rank."""
    lora_alpha: Annotated[int, COUNT] = 32
    """Scale of a new adapter: its output is multiplied by alpha / r."""
    lora_dropout: Annotated[float, PART] = 0.0
    """Dropout share on a new adapter's input."""
    lora_target: Literal["language", "all-linear"] = "language"
    """Layers with a new adapter: those of the language model, or every linear layer except the head, with vision."""
    preflight: Annotated[bool, COSMETIC] = True
    """Check rows, lengths, loss mask, reward, disk and memory before training (`tritrace preflight`)."""
    card_gib: Annotated[float | None, POSITIVE, COSMETIC] = None
    """Memory of the card that the recipe is made for; preflight compares with it. None means the GPU of this
    machine."""
    origins: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Key -> origin of its value, for values that are not TRL's default; filled by `parse_stage`."""
    notes: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Key -> note for the resolved recipe: the value was changed, or has no effect."""


@dataclass(frozen=True, kw_only=True)
class GRPOArguments(
    StageArguments,
    JudgeArguments,
    RolloutArguments,
    TritraceWeights,
    SaferToolkitWeights,
    SafegrpoWeights,
    SaferVlmWeights,
):
    """Additional options of GRPO: reward, judge, rollouts, and the weights of each preset (`eval/presets`)."""

    reward: str = "tritrace"
    """Name of the reward preset."""


@overload
def parse_stage(stage: Literal["grpo"], argv: Sequence[str]) -> tuple[GRPOArguments, TRLConfig]: ...
@overload
def parse_stage(stage: Stage, argv: Sequence[str]) -> tuple[StageArguments, TRLConfig]: ...
def parse_stage(stage: Stage, argv: Sequence[str]) -> tuple[StageArguments, TRLConfig]:
    """Read a stage's recipe and flags.

    Args:
        stage: which stage.
        argv: the flags, such as `["--config", "sft.yaml", "--max_steps", "3"]`.

    Raises:
        StageError: unreadable file, unknown keys (with the nearest name) or invalid values; lists all of them.
    """
    flags = [part for flag in argv for part in _split_config_flag(flag)]
    ours = GRPOArguments if stage == "grpo" else StageArguments
    classes = (ours, getattr(trl, SPECS[stage].config_name))
    path = _flag(flags, "config")
    recipe = read_recipe(path, classes, _RESERVED) if path else {}
    defaults = our_defaults(stage, dtype=str(_flag(flags, "dtype") or recipe.get("dtype") or "auto"))
    arguments, config = _parse(flags, classes, defaults, source=path or "command line")
    if getattr(config, "use_vllm", False) and config.vllm_max_model_length is None:
        config.vllm_max_model_length = arguments.max_tokens  # vLLM must hold a row with its completion
    if problems := _unfit(arguments, config):
        raise StageError([f"{path or 'command line'}: {problem}" for problem in problems])
    config.output_dir = str(Path(arguments.output) / "checkpoints")
    arguments.origins.update(dict.fromkeys(recipe, "recipe") | dict.fromkeys(_flag_names(flags), "flag"))
    if stage == "grpo":
        arguments.notes.update(without_bite(config))
    return arguments, config


def parse_flat(recipe_class: type[RecipeT], argv: Sequence[str]) -> RecipeT:
    """Read a recipe that is a single dataclass, with the rules for stages.

    Raises:
        StageError: see `parse_stage`.
    """
    path = _flag(argv, "config")
    if path:
        read_recipe(path, (recipe_class,), {})
    (recipe,) = _parse(argv, (recipe_class,), {}, source=path or "command line")
    return cast("RecipeT", recipe)


def our_defaults(stage: Stage, dtype: str = "auto") -> dict[str, Any]:
    """Return our defaults: those that differ from TRL's, and those that are too important to inherit silently."""
    has_gpu = torch.cuda.is_available()
    defaults: dict[str, Any] = {
        "bf16": has_gpu and resolve_dtype(dtype) is torch.bfloat16,
        "fp16": has_gpu and resolve_dtype(dtype) is torch.float16,
        "use_cpu": not has_gpu,
        "activation_checkpointing": has_gpu,  # costs time and saves memory, which is short on GPUs only
        "dataloader_pin_memory": has_gpu,
        "dataloader_num_workers": 0,  # a worker costs more than it saves in the pocket world
        "report_to": "none",  # `stages/tracking/run.py` reports
        "disable_tqdm": True,  # `stages/progress.py` prints
        "logging_steps": 10,
        "logging_first_step": True,
        "save_strategy": "steps",  # an interrupted stage resumes from these checkpoints
        "save_steps": 50,
        "save_total_limit": 2,
        "remove_unused_columns": False,
        "eval_strategy": "no",
    }
    if stage == "grpo":
        # beta > 0 makes TRL keep the parent's adapter as the reference; completions go to rollouts.jsonl.
        return defaults | {"beta": 0.02, "log_completions": False}
    # TRL cuts rows at 1024 tokens by default; here rows that are too long are an error (`stages/inputs/lengths.py`).
    return defaults | {"max_length": None}


# Fields of TRL that a recipe may not set, and what to use instead.
_RESERVED = {
    "output_dir": "output",
    "resume_from_checkpoint": "the same command again, which resumes by itself",
    "eos_token": "end_token, which all stages and whoever samples the checkpoint go by",
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}


class _Parser(TrlParser):
    """TRL's parser; it raises instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)

    def read_null(self, hints: Mapping[str, Any]) -> None:
        """Read `null` on the command line like in a recipe, for texts and choices too.

        TRL does this only for numbers.
        """
        for action in self._actions:
            if (action.type is str or action.choices) and fits(None, hints.get(action.dest, str)):
                action.type = partial(_or_null, action.type)
                action.choices = action.choices and [*action.choices, None]


def _or_null(read: Callable[[str], Any], text: str) -> Any:
    return None if text == "null" else read(text)


def _parse(flags: Sequence[str], classes: Sequence[type], defaults: dict[str, Any], *, source: str) -> tuple[Any, ...]:
    _check_flags(flags, classes)
    parser = _Parser(classes, allow_abbrev=False, add_help=False)
    parser.read_null(option_hints(classes))
    parser.set_defaults_with_config(**defaults)
    try:
        return tuple(parser.parse_args_and_config(flags))
    except (ValueError, KeyError) as error:  # KeyError: an unknown choice, such as an optimiser's name
        raise StageError(f"{source}: {error}") from error


def _check_flags(flags: Sequence[str], classes: Sequence[type]) -> None:
    known = option_hints(classes)
    problems = []
    for name in _flag_names(flags):
        if name in _RESERVED:
            problems.append(f"command line: --{name} cannot be set; use {_RESERVED[name]}")
        elif name != "config" and name.removeprefix("no_") not in known:
            problems.append(f"command line: {unknown_key(name, known)}")
    if problems:
        raise StageError(problems)


def _split_config_flag(flag: str) -> list[str]:
    return ["--config", flag.removeprefix("--config=")] if flag.startswith("--config=") else [flag]


def _flag_names(flags: Iterable[str]) -> list[str]:
    return [flag[2:].split("=")[0].replace("-", "_") for flag in flags if flag.startswith("--")]


def _flag(flags: Sequence[str], name: str) -> str | None:
    for position, flag in enumerate(flags):
        if flag.startswith(f"--{name}="):
            return flag.partition("=")[2]
        if flag == f"--{name}" and position + 1 < len(flags):
            return flags[position + 1]
    return None


def _unfit(arguments: StageArguments, config: TRLConfig) -> list[str]:
    """Return the options that are out of bounds or contradict each other, as messages."""
    problems = list(out_of_bounds(arguments))
    if arguments.min_pixels and arguments.max_pixels and arguments.min_pixels > arguments.max_pixels:
        problems.append(f"min_pixels: expected at most {arguments.max_pixels}, found {arguments.min_pixels}")
    if arguments.revision is not None and Path(split_gguf(arguments.model)[0]).is_dir():
        problems.append(f"revision: is of a model on the hub, and {arguments.model} is a folder; leave it out, or null")
    if not is_colour(arguments.picture_ground):
        problems.append(
            f"picture_ground: expected a colour such as white or #808080, found {arguments.picture_ground!r}"
        )
    problems += refused_by_trainer(config)
    if config.save_total_limit == 1:
        problems.append("save_total_limit: expected 2 or more, found 1; a checkpoint stays until the next one is whole")
    if isinstance(arguments, GRPOArguments):
        problems += missing_for_judge(arguments) + rollout_problems(arguments, config)
    return problems
