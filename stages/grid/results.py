"""Computes the results of a grid: pooled numbers, the worst cell, paired differences, and bands for new runs.

For pooled means, each training of the shipped base (a machine and a training seed) counts as one seed. Two machines
with the same training seed are not independent, so a pooled interval is somewhat too narrow. For that reason the tables
also show the worst cell. Further bases are listed separately and are not pooled.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.results.comparison import compare
from eval.results.metrics import Direction, Metric, metric_by_name
from eval.results.samples import Sample, read_samples
from eval.results.table import format_change, format_estimate, format_number, metric_title, stage_title
from eval.statistics.intervals import Estimate
from stages.curriculum import HeldOut, evaluation_folder
from stages.grid.declaration import Cell, Grid
from stages.spec import SPECS, STAGES

PROMISED = (
    *("safety", "attack_success", "over_refusal", "general_ability", "helpfulness", "rigor", "validity"),
    *("coherence", "tags_all", "decision", "grounding"),
)
"""Metrics in the tables of a grid."""
STEPS = tuple((spec.previous or "base", spec.name) for spec in SPECS.values())
"""Pairs of stages to compare."""

Runs = Mapping[str, Sequence[Sequence[Sample]]]
"""Stage -> samples of a cell: one sequence for each training seed."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The samples of a grid on one split."""

    split: HeldOut
    runs: Mapping[str, Runs]
    """Name of a cell -> its samples."""
    seeds: Mapping[str, Sequence[int]]
    """Name of a cell -> its training seeds, in the order of its runs."""
    pooled: tuple[str, ...]
    """Names of the cells with the shipped base."""

    @property
    def together(self) -> Runs:
        """Stage -> samples of the pooled cells; every training on every machine counts as a seed."""
        stages = next(iter(self.runs.values()))
        return {
            stage: self.runs[self.pooled[0]][stage]
            if stage == "base"
            else [samples for name in self.pooled for samples in self.runs[name][stage]]
            for stage in stages
        }


def read_findings(grid: Grid, cells: Sequence[Cell], split: HeldOut) -> Findings:
    """Read the evaluations of the cells of a grid.

    Raises:
        data.files.json_lines.RowsError: an evaluation is missing or cannot be read.
    """
    runs = {cell.name: _read_cell(grid, cell, split) for cell in cells}
    seeds = {cell.name: cell.seeds for cell in cells}
    return Findings(split, runs, seeds, tuple(cell.name for cell in cells if cell.base is None))


def _read_cell(grid: Grid, cell: Cell, split: HeldOut) -> Runs:
    def samples(seed: int, stage: str) -> list[Sample]:
        folder: Path = grid.output / cell.name / f"seed-{seed}" / stage / evaluation_folder(split)
        return read_samples(folder / "samples.jsonl")

    base = {"base": [samples(cell.seeds[0], "base")]}  # the base is the same for all seeds
    return base | {stage: [samples(seed, stage) for seed in cell.seeds] for stage in STAGES}


def worst(metric: Metric, cells: Sequence[Estimate]) -> Estimate:
    """Return the worst estimate for the direction of the metric; an unscored one is the worst of all."""

    def badness(each: Estimate) -> float:
        if each.value is None:
            return float("inf")
        return each.value if metric.direction is Direction.LOWER else -each.value

    return max(cells, key=badness)


def bands(findings: Findings) -> dict[str, dict[str, tuple[float, float]]]:
    """Return stage -> metric -> (lowest lower end, highest upper end) of the 95 % intervals of single trainings.

    Every training of every cell counts, including those of further bases.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for stage in STAGES:
        found[stage] = {}
        for name in PROMISED:
            each = [
                metric_by_name[name].estimate([samples]) for runs in findings.runs.values() for samples in runs[stage]
            ]
            lows = [one.low for one in each if one.low is not None]
            highs = [one.high for one in each if one.high is not None]
            if lows and highs:
                found[stage][name] = (min(lows), max(highs))
    return found


def metrics_table(findings: Findings) -> list[str]:
    """Return a table with a row for each metric: the pooled mean of each stage, and below it the worst training."""
    stages = ("base", *STAGES)
    lines = _header(["metric", *map(stage_title, stages)])
    for name in PROMISED:
        metric = metric_by_name[name]
        cells = []
        for stage in stages:
            pooled = format_estimate(metric.estimate(findings.together[stage]), metric)
            single = [metric.estimate([each]) for runs in findings.runs.values() for each in runs[stage]]
            least = format_estimate(worst(metric, single), metric)
            cells.append(pooled if stage == "base" else f"{pooled}<br>worst {least}")
        lines.append(_line([metric_title(metric), *cells]))
    return lines


def differences_table(findings: Findings) -> list[str]:
    """Return a table of paired differences between each stage and the one before: pooled, and for every cell."""
    lines = _header(["step", "cell", *(metric_title(metric_by_name[name]) for name in PROMISED)])
    groups = {"pooled": findings.together} | dict(findings.runs)
    for before, after in STEPS:
        for name, runs in groups.items():
            comparison = compare(runs[before], runs[after], names=(before, after))
            changes = {change.metric.name: change for change in comparison.changes}
            step = f"{stage_title(before)} to {stage_title(after)}"
            lines.append(_line([step, name, *(format_change(changes[metric]) for metric in PROMISED)]))
    return lines


def trainings_table(findings: Findings) -> list[str]:
    """Return a table with a row for each training: its metrics after GRPO, and the gain in safety by GRPO."""
    lines = _header(["cell", "seed", *(metric_title(metric_by_name[name]) for name in PROMISED), "safety, GRPO − DPO"])
    for name, runs in findings.runs.items():
        for place, samples in enumerate(runs["grpo"]):
            values = [metric_by_name[each].estimate([samples]).value for each in PROMISED]
            cells = ["–" if value is None else format_number(value, 1) for value in values]
            gain = compare([runs["dpo"][place]], [samples])
            (change,) = [each for each in gain.changes if each.metric.name == "safety"]
            lines.append(_line([name, str(findings.seeds[name][place]), *cells, format_change(change, with_p=False)]))
    return lines


def section(findings: Findings, heading: Iterator[str] | Sequence[str]) -> str:
    """Return the Markdown of all tables, under lines that state their origin."""
    parts = [
        list(heading),
        metrics_table(findings),
        ["Mean [95 % interval] over all trainings of the shipped base; worst: the worst single training of any cell."],
        ["Paired differences [95 % interval], p after Holm's correction over all metrics of a row:"],
        differences_table(findings),
        ["Every training, after GRPO:"],
        trainings_table(findings),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _header(names: Sequence[str]) -> list[str]:
    return [_line(names), _line(["---", *["---:"] * (len(names) - 1)])]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
