"""What a grid found: pooled numbers beside the worst cell, paired differences, and the band that a new run is held to.

Pooled means count each training of the shipped base as one seed: a machine with a training seed. Two machines with one
training seed are not independent, so a pooled interval is somewhat too narrow; the worst cell stands beside it for that
reason. Further bases are told apart and not pooled.
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
"""Metrics that a grid tells of."""
STEPS = tuple((spec.previous or "base", spec.name) for spec in SPECS.values())
"""The pairs of stages that are compared."""

Runs = Mapping[str, Sequence[Sequence[Sample]]]
"""The samples of every stage of a cell, a sequence a training seed."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The samples of a grid on one split."""

    split: HeldOut
    runs: Mapping[str, Runs]
    """By name of the cell."""
    seeds: Mapping[str, Sequence[int]]
    """The training seeds of every cell, in the order of its runs."""
    pooled: tuple[str, ...]
    """Names of the cells with the shipped base."""

    @property
    def together(self) -> Runs:
        """The pooled cells' samples by stage; every training of every machine is a seed."""
        stages = next(iter(self.runs.values()))
        return {
            stage: self.runs[self.pooled[0]][stage]
            if stage == "base"
            else [samples for name in self.pooled for samples in self.runs[name][stage]]
            for stage in stages
        }


def read_findings(grid: Grid, cells: Sequence[Cell], split: HeldOut) -> Findings:
    """Read what the cells of a grid have written.

    Raises:
        data.files.RowsError: an evaluation is missing or cannot be read.
    """
    runs = {cell.name: _read_cell(grid, cell, split) for cell in cells}
    seeds = {cell.name: cell.seeds for cell in cells}
    return Findings(split, runs, seeds, tuple(cell.name for cell in cells if cell.base is None))


def _read_cell(grid: Grid, cell: Cell, split: HeldOut) -> Runs:
    def samples(seed: int, stage: str) -> list[Sample]:
        folder: Path = grid.output / cell.name / f"seed-{seed}" / stage / evaluation_folder(split)
        return read_samples(folder / "samples.jsonl")

    base = {"base": [samples(cell.seeds[0], "base")]}  # greedy responses of the base are the same for every seed
    return base | {stage: [samples(seed, stage) for seed in cell.seeds] for stage in STAGES}


def worst(metric: Metric, cells: Sequence[Estimate]) -> Estimate:
    """Return the estimate that is worst in the direction of the metric; an unscored one is worse than any."""

    def badness(each: Estimate) -> float:
        if each.value is None:
            return float("inf")
        return each.value if metric.direction is Direction.LOWER else -each.value

    return max(cells, key=badness)


def bands(findings: Findings) -> dict[str, dict[str, tuple[float, float]]]:
    """Return by stage and metric the least lower and the greatest upper end of the single trainings' 95 % intervals.

    Every training of every cell counts, those of further bases too.
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
    """Return a row a metric, the pooled mean of each stage and below it the worst single training."""
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
    """Return paired differences of each stage from the one before: pooled, and for every cell."""
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
    """Return a row a training: what it came to after GRPO, and what GRPO added to safety."""
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
    """Return the Markdown of everything found, under some lines that say where it is from."""
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
