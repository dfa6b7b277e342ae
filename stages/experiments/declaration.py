"""Reads the declaration of an experiment: variants of stages, with the same parents, seeds and held-out prompts.

    tritrace experiment stages/recipes/pocket/experiments/rewards.yaml

A YAML file names a curriculum, which makes model, data and the parents for each seed, and variants:

    curriculum: ../curriculum.yaml       relative to this file
    output: runs/pocket-rewards
    seeds: [0, 1, 2]
    baseline: tritrace                   the others are compared with this variant
    metrics: [attack_success, ...]       columns of the table; by default all
    made:                                rows that a command of `tritrace data` makes for each seed
      curated: {from: dpo, command: "data curate --checkpoint {checkpoint} --data {data}/grpo.jsonl --output {output}"}
      decisions: {from: sft, command: "data build {output} --draw drawn", file: dpo.jsonl}
    variants:
      tritrace: {from: dpo, stages: [grpo]}
      curated: {from: dpo, stages: [grpo], data: {grpo: [curated]}, set: {grpo.max_steps: 40}}

* `from` is the stage of the curriculum that a variant continues, or base.
* `stages` are trained one after the other.
* `data` names files of the data folder (`dpo` is `dpo.jsonl`) or made rows. Several are joined in equal parts: of each,
  as many rows as the shortest one has. If the command of made rows makes a folder, `file` names the file in it.
* `set` overrides fields of the stages' recipes, like `--grpo.max_steps` on the command line.

A variant without `data` and `set`, such as the first, is the run of the curriculum.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.results.metrics import metric_by_name
from eval.tasks.task import NAME
from stages.arguments.reading import read_yaml, unknown_key
from stages.errors import StageError
from stages.spec import STAGES, Stage

STARTS = ("base", *STAGES)


@dataclass(frozen=True, kw_only=True)
class Made:
    """Rows that a command makes from a checkpoint, for each seed."""

    name: str
    start: str
    """The stage of the curriculum whose checkpoint is used, or base."""
    command: str
    """Arguments of `tritrace`, with the placeholders {checkpoint}, {model}, {data}, {output} and {seed}."""
    file: str = ""
    """Name of the rows' file in the folder that the command makes; "" if its output is the file itself."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the table."""

    name: str
    start: str
    """The stage of the curriculum that the variant continues, or base."""
    stages: tuple[Stage, ...]
    """Trained one after the other; the last one is evaluated."""
    data: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Stage -> names of its rows, if they differ from the curriculum's."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the stages' recipes, such as "grpo.max_steps"."""

    @property
    def changes_nothing(self) -> bool:
        """Whether the variant equals the curriculum up to its last stage."""
        first = STARTS.index(self.start)
        return not self.data and not self.overrides and self.stages == STAGES[first : first + len(self.stages)]

    def flags(self, stage: Stage) -> list[str]:
        """Return the overrides of a stage as flags."""
        mine = {name.partition(".")[2]: value for name, value in self.overrides.items() if name.startswith(f"{stage}.")}
        return [f"--{name}={_flag_value(value)}" for name, value in mine.items()]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Variants to train and compare."""

    path: Path
    curriculum: Path
    output: Path
    seeds: tuple[int, ...]
    baseline: str
    metrics: tuple[str, ...]
    made: Mapping[str, Made]
    variants: Mapping[str, Variant]


def read_experiment(path: Path) -> Experiment:
    """Read the declaration of an experiment.

    Raises:
        StageError: the declaration has mistakes; lists all of them with their fields.
    """
    values, _ = read_yaml(path)
    problems = _unknown(values, ("curriculum", "output", "seeds", "baseline", "metrics", "made", "variants"), "")
    missing = [name for name in ("curriculum", "output", "variants") if not values.get(name)]
    problems += [f"{name} is missing" for name in missing]
    made = {name: _made(name, record, problems) for name, record in _mapping(values, "made", problems).items()}
    variants = {
        name: _variant(name, record, problems) for name, record in _mapping(values, "variants", problems).items()
    }
    problems += [
        f"{name!s:.99}: expected a name of letters, digits, '.', '_' and '-', because files are named after it"
        for name in (*made, *variants)
        if not (isinstance(name, str) and NAME.fullmatch(name))
    ]
    metrics = tuple(values.get("metrics") or metric_by_name)
    problems += [f"metrics: {unknown_key(name, metric_by_name)}" for name in metrics if name not in metric_by_name]
    seeds = values.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        problems.append(f"seeds: expected a list of whole numbers, found {seeds!r}")
    baseline = values.get("baseline") or next(iter(variants), "")
    if variants and baseline not in variants:
        problems.append(f"baseline: {unknown_key(str(baseline), variants)}")
    if problems:
        raise StageError([f"{path}: {problem}" for problem in problems])
    return Experiment(
        path=path,
        curriculum=path.parent / values["curriculum"],
        output=Path(values["output"]),
        seeds=tuple(seeds),
        baseline=baseline,
        metrics=metrics,
        made=made,
        variants=variants,
    )


def _made(name: str, record: Any, problems: list[str]) -> Made:
    where = f"made.{name}"
    record = _record(record, where, ("from", "command", "file"), problems)
    start, command, file = str(record.get("from")), str(record.get("command", "")), str(record.get("file", ""))
    _check_start(start, where, problems)
    if not command.startswith("data ") or "{output}" not in command:
        problems.append(f"{where}.command: expected a command such as `data curate ... --output {{output}}`")
    if file and Path(file).name != file:
        problems.append(
            f"{where}.file: expected the name of a file in the folder that the command makes, found {file!r}"
        )
    return Made(name=name, start=start, command=command, file=file)


def _variant(name: str, record: Any, problems: list[str]) -> Variant:
    where = f"variants.{name}"
    record = _record(record, where, ("from", "stages", "data", "set"), problems)
    start, stages = str(record.get("from")), record.get("stages", ["grpo"])
    _check_start(start, where, problems)
    if not isinstance(stages, list) or not stages or not set(stages) <= set(STAGES):
        problems.append(f"{where}.stages: expected a list of {', '.join(STAGES)}, found {stages!r}")
        stages = ["grpo"]
    data = _mapping(record, "data", problems, where)
    overrides = _mapping(record, "set", problems, where)
    problems += [f"{where}.data: {stage} is not trained by it" for stage in data if stage not in stages]
    problems += [
        f"{where}.set: {key}: expected a field of a stage that it trains, such as {stages[-1]}.max_steps"
        for key in overrides
        if key.partition(".")[0] not in stages or not key.partition(".")[2]
    ]
    names = {stage: (each,) if isinstance(each, str) else tuple(each) for stage, each in data.items()}
    return Variant(name=name, start=start, stages=tuple(stages), data=names, overrides=overrides)


def _record(record: Any, where: str, known: tuple[str, ...], problems: list[str]) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        problems.append(f"{where}: expected a mapping with {', '.join(known)}, found {record!r}")
        return {}
    problems += _unknown(record, known, f"{where}: ")
    return record


def _mapping(record: Mapping[str, Any], name: str, problems: list[str], where: str = "") -> Mapping[str, Any]:
    found = record.get(name) or {}
    if isinstance(found, Mapping):
        return found
    problems.append(f"{where}{'.' if where else ''}{name}: expected a mapping, found {found!r}")
    return {}


def _unknown(record: Mapping[str, Any], known: tuple[str, ...], where: str) -> list[str]:
    return [f"{where}{unknown_key(str(key), known)}" for key in record if key not in known]


def _check_start(start: str, where: str, problems: list[str]) -> None:
    if start not in STARTS:
        problems.append(f"{where}.from: expected one of {', '.join(STARTS)}, found {start!r}")


def _flag_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
