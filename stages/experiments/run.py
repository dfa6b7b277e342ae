"""Runs an experiment: first the parents, then each variant for each seed; finished, unchanged parts are skipped.

A variant is trained into `OUTPUT/VARIANT/seed-N/STAGE`, which has the layout of a run. So `tritrace compare`, `report`
and `manifest` can read it. A variant that changes nothing is the curriculum's own run. The table is written after every
variant.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from data.files.json_lines import file_fingerprint, numbered_lines, read_json, replacing
from data.files.text import text_of
from eval.results.samples import Sample
from stages.arguments.stage import StageArguments, TRLConfig, parse_stage
from stages.curriculum import Curriculum, open_curriculum, run_by_stage
from stages.errors import StageError, UnchangedError
from stages.experiments.declaration import STARTS, Experiment, Made, Variant, read_experiment
from stages.experiments.table import VariantRow, write_table
from stages.progress import say
from stages.provenance.manifest import read_manifest
from stages.provenance.trust import permissions_of
from stages.results.checkpoints import Checkpoint
from stages.rollouts.reward import reward_of
from stages.spec import STAGES, Stage
from stages.tracking.run import tracked
from toolkit.secrets import redacted


def run_experiment(
    path: Path,
    *,
    seeds: Sequence[int] = (),
    only: Sequence[str] = (),
    output: Path | None = None,
    flags: Sequence[str] = (),
) -> Path:
    """Run, continue or skip every variant, print the table, and return the folder.

    A variant that fails is left out, and the others still run. If training does not change a variant's adapter, its
    start is evaluated instead, and the table says so.

    Args:
        path: the declaration.
        seeds: seeds to use instead of the declared ones.
        only: names of the variants to run and show; empty means all.
        output: folder to use instead of the declared one.
        flags: flags of the curriculum, and of stages, such as `--grpo.max_steps 3`.

    Raises:
        UserError: the declaration, a recipe or a file cannot be used. Or some variants failed; raised after all others
            ran.
        SystemExit: with code 130 after an interruption; the same command continues.
    """
    experiment = read_experiment(path)
    if unknown := set(only) - set(experiment.variants):
        raise StageError(f"--only: {path} has no variant {', '.join(sorted(unknown))}")
    experiment = replace(experiment, seeds=tuple(seeds) or experiment.seeds, output=output or experiment.output)
    numbers = [str(seed) for seed in experiment.seeds]
    running = _Running(
        experiment, open_curriculum(experiment.curriculum, [*flags, "--seeds", *numbers], _check(experiment))
    )
    rows: dict[str, VariantRow] = {}
    failures: list[str] = []
    chosen = [each for each in experiment.variants.values() if not only or each.name in only]
    with tracked(f"experiment {path.stem}", {"variants": list(experiment.variants)}, is_curriculum=True):
        for seed, variant in product(experiment.seeds, chosen):
            failures += running.add_results(rows, variant, seed)
            table = write_table(experiment, rows, running.unchanged)
    say(table.read_text(encoding="utf-8"))
    say(f"experiment: {table}")
    if failures:
        raise StageError(failures)
    return experiment.output


def _check(experiment: Experiment) -> Callable[[Curriculum], None]:
    """Return a check of every variant's recipes, to run before any training."""

    def check(curriculum: Curriculum) -> None:
        problems = []
        for variant in experiment.variants.values():
            for stage in variant.stages:
                try:
                    arguments, _ = _Running(experiment, curriculum).parse(
                        variant, stage, experiment.seeds[0], None, None
                    )
                    reward_of(arguments)
                except StageError as error:
                    problems += [f"variants.{variant.name}: {problem}" for problem in error.problems]
        if problems:
            raise StageError(problems)

    return check


@dataclass
class _Running:
    """An experiment with its curriculum and its finished evaluations."""

    experiment: Experiment
    curriculum: Curriculum
    unchanged: dict[str, list[int]] = field(default_factory=dict)
    """Variant -> seeds for which training changed nothing."""

    def __post_init__(self) -> None:
        self._told: set[tuple[str, int]] = set()
        self._own: dict[tuple[str, int], tuple[Checkpoint, float]] = {}

    def add_results(self, rows: dict[str, VariantRow], variant: Variant, seed: int) -> list[str]:
        """Run a variant, add its results to the rows of the table, and return its problems."""
        try:
            for name, samples, seconds in self.results(variant, seed):
                rows.setdefault(name, VariantRow(name)).add(seed, samples, seconds)
        except StageError as error:
            problems = [f"{variant.name}, seed {seed}: {problem}" for problem in error.problems]
            say(f"experiment: failed: {problems[-1]}")
            return problems
        return []

    def results(self, variant: Variant, seed: int) -> Iterator[tuple[str, Sequence[Sample], float]]:
        """Yield (name, samples, seconds of training) of the variant's start, if it is new, and of the variant."""
        start, seconds = self._start(variant.start, seed)
        if (variant.start, seed) not in self._told:
            self._told.add((variant.start, seed))
            yield f"({variant.start})", self.curriculum.evaluate(start), seconds
        if variant.changes_nothing:
            checkpoint, seconds = self._start(variant.stages[-1], seed)
        else:
            checkpoint = start
            try:
                for stage in variant.stages:
                    parent = checkpoint.folder if checkpoint.stage else None
                    checkpoint = self._train(variant, stage, seed, parent)
                    seconds += read_manifest(checkpoint.folder / "manifest.json").seconds
            except UnchangedError as error:
                self.unchanged.setdefault(variant.name, []).append(seed)
                say(f"experiment: {variant.name}, seed {seed}: {error}")
        yield variant.name, self.curriculum.evaluate(checkpoint), seconds

    def parse(
        self, variant: Variant, stage: Stage, seed: int, parent: Path | None, data: Path | None
    ) -> tuple[StageArguments, TRLConfig]:
        """Return the options of a variant's stage: from the curriculum's recipe, its place, and its overrides."""
        recipes = self.curriculum
        flags = {"config": recipes.recipes / getattr(recipes.recipe, stage), "model": recipes.model, "seed": seed}
        flags |= {"data": data or recipes.data / f"{stage}.jsonl"}
        flags |= {"output": self.experiment.output / variant.name / f"seed-{seed}" / stage}
        if parent is not None:
            flags["parent"] = parent
        given = [f"--{name}={value}" for name, value in flags.items()]
        return parse_stage(stage, [*given, *recipes.stage_flags[stage], *variant.flags(stage)])

    def _train(self, variant: Variant, stage: Stage, seed: int, parent: Path | None) -> Checkpoint:
        say(f"experiment: {variant.name}, seed {seed}, {stage}")
        told = self.parse(variant, stage, seed, parent, self._rows(variant, stage, seed))
        return Checkpoint(stage, run_by_stage[stage](*told), self.curriculum.model, permissions_of(*told))

    def _start(self, stage: str, seed: int) -> tuple[Checkpoint, float]:
        """Return a checkpoint of the curriculum, after training it if necessary, and its seconds of training."""
        if (stage, seed) not in self._own:
            self._own[stage, seed] = self._reached(stage, seed)
        return self._own[stage, seed]

    def _reached(self, stage: str, seed: int) -> tuple[Checkpoint, float]:
        if stage == "base":
            folder = Path(self.curriculum.recipe.output) / f"seed-{seed}" / "base"
            allowed = permissions_of(*self.curriculum.parse(STAGES[0], seed))
            return Checkpoint(None, folder, self.curriculum.base, allowed), 0.0
        own = STAGES[STARTS.index(stage) - 1]
        _, seconds = self._start(STARTS[STARTS.index(stage) - 1], seed)
        told = self.curriculum.parse(own, seed)
        checkpoint = Checkpoint(own, run_by_stage[own](*told), self.curriculum.model, permissions_of(*told))
        return checkpoint, seconds + read_manifest(checkpoint.folder / "manifest.json").seconds

    def _rows(self, variant: Variant, stage: Stage, seed: int) -> Path | None:
        names = variant.data.get(stage, ())
        paths = [
            self._made(self.experiment.made[name], seed)
            if name in self.experiment.made
            else self.curriculum.data / f"{name}.jsonl"
            for name in names
        ]
        if len(paths) < 2:
            return paths[0] if paths else None
        together = self.curriculum.data / f"{'+'.join(names)}-seed-{seed}.jsonl"  # images are relative to the file
        lines = [[line for _, line in numbered_lines(path)] for path in paths]
        with replacing(together) as file:
            file.writelines(text_of(line) + "\n" for each in lines for line in each[: min(map(len, lines))])
        return together

    def _made(self, made: Made, seed: int) -> Path:
        """Return the rows that a command makes; they are made once per checkpoint and command."""
        checkpoint, _ = self._start(made.start, seed)
        data = self.curriculum.data
        output = data / f"{self.experiment.path.stem}-{made.name}-seed-{seed}{'' if made.file else '.jsonl'}"
        rows = output / made.file
        values = {"checkpoint": checkpoint.folder, "model": checkpoint.model, "data": data, "output": output}
        command = [part.format(**values, seed=seed) for part in shlex.split(made.command)]
        stamp = output.with_suffix(".made.json")
        identity = {"command": redacted(made.command), "seed": seed}
        if checkpoint.stage:
            identity["checkpoint"] = read_manifest(checkpoint.folder / "manifest.json").digest
        if rows.is_file() and read_json(stamp) == identity | {"rows": file_fingerprint(rows)}:
            say(f"data: {rows} is up to date")
            return rows
        say(f"data: {output}: tritrace {' '.join(command)}")
        # A separate process releases the memory of the sampled model when it ends.
        if subprocess.run([sys.executable, "-m", "stages", *command], check=False).returncode:  # noqa: S603
            raise StageError(f"made.{made.name}: `tritrace {' '.join(command)}` failed")
        if not rows.is_file():
            raise StageError(f"made.{made.name}: `tritrace {' '.join(command)}` did not write {rows}")
        with replacing(stamp) as file:
            json.dump(identity | {"rows": file_fingerprint(rows)}, file)
        return rows
