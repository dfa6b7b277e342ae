"""Writes the table of an experiment: metrics of each variant with intervals, and paired differences to the baseline."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from data.files.json_lines import replacing
from eval.results.comparison import Comparison, compare
from eval.results.metrics import metric_by_name
from eval.results.samples import Sample
from eval.results.table import format_change, format_estimate, format_number, metric_title
from stages.experiments.declaration import Experiment

CAPTION = (
    "Mean [95 % interval] on the held-out prompts; n is prompts × seeds; minutes is the mean training time over seeds, "
    "with parents. Names in brackets are the starts of variants."
)
DIFFERENCES = (
    "Paired difference [95 % interval] from `{baseline}` on the same prompts and seeds; p after Holm's correction over "
    "all {count} metrics of a row."
)

UNCHANGED = "`{name}`, seed {seeds}: training changed nothing; these are the results of its start."


@dataclass
class VariantRow:
    """A variant with the results of its finished seeds."""

    name: str
    seeds: dict[int, Sequence[Sample]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def add(self, seed: int, samples: Sequence[Sample], seconds: float) -> None:
        """Add the results of a seed."""
        self.seeds[seed], self.seconds[seed] = samples, seconds

    @property
    def samples(self) -> list[Sequence[Sample]]:
        """The samples: one sequence for each seed, in order."""
        return [self.seeds[seed] for seed in sorted(self.seeds)]


def write_table(experiment: Experiment, rows: Mapping[str, VariantRow], unchanged: Mapping[str, Sequence[int]]) -> Path:
    """Write the finished results to `table.md` and `table.json`, and return the path of `table.md`.

    Args:
        experiment: the declaration.
        rows: variant by name.
        unchanged: variant -> seeds for which training changed nothing.
    """
    comparisons = _comparisons(rows, experiment.baseline)
    with replacing(experiment.output / "table.json") as file:
        json.dump(_record(rows, comparisons), file, indent=1)
    with replacing(experiment.output / "table.md") as file:
        below = [*_unchanged_lines(unchanged), *_difference_lines(experiment, comparisons)]
        file.write("\n".join([*_metrics_lines(experiment, rows), "", *below, ""]))
    return experiment.output / "table.md"


def _comparisons(rows: Mapping[str, VariantRow], baseline: str) -> dict[str, Comparison]:
    """Compare each variant with the baseline, over their common seeds."""
    found = {}
    base = rows.get(baseline)
    for name, row in rows.items():
        if base is None or name == baseline:
            continue
        shared = sorted(row.seeds.keys() & base.seeds.keys())
        if shared:
            sides = [[each.seeds[seed] for seed in shared] for each in (base, row)]
            found[name] = compare(*sides, names=(baseline, name))
    return found


def _metrics_lines(experiment: Experiment, rows: Mapping[str, VariantRow]) -> list[str]:
    metrics = [metric_by_name[name] for name in experiment.metrics]
    lines = _header(["variant", *map(metric_title, metrics), "minutes", "n"])
    for row in rows.values():
        cells = [format_estimate(metric.estimate(row.samples), metric) for metric in metrics]
        count = f"{len({sample.id for each in row.samples for sample in each})} × {len(row.seeds)}"
        lines.append(_line([row.name, *cells, format_number(fmean(row.seconds.values()) / 60, 1), count]))
    return [*lines, "", CAPTION]


def _unchanged_lines(unchanged: Mapping[str, Sequence[int]]) -> list[str]:
    lines = []
    for name, seeds in unchanged.items():
        lines += [UNCHANGED.format(name=name, seeds=", ".join(map(str, seeds))), ""]
    return lines


def _difference_lines(experiment: Experiment, comparisons: Mapping[str, Comparison]) -> list[str]:
    metrics = [metric_by_name[name] for name in experiment.metrics]
    if not comparisons:
        return []
    lines = _header(["variant", *map(metric_title, metrics)])
    for name, comparison in comparisons.items():
        changes = {change.metric.name: change for change in comparison.changes}
        lines.append(_line([name, *(format_change(changes[metric.name]) for metric in metrics)]))
    return [*lines, "", DIFFERENCES.format(baseline=experiment.baseline, count=len(metric_by_name))]


def _record(rows: Mapping[str, VariantRow], comparisons: Mapping[str, Comparison]) -> dict[str, object]:
    return {
        name: {
            "seeds": sorted(row.seeds),
            "seconds": [row.seconds[seed] for seed in sorted(row.seconds)],
            "metrics": {each.name: each.estimate(row.samples).to_json() for each in metric_by_name.values()},
            "difference": [change.to_json() for change in comparisons[name].changes] if name in comparisons else None,
        }
        for name, row in rows.items()
    }


def _header(names: Sequence[str]) -> list[str]:
    return [_line(names), _line(["---", *["---:"] * (len(names) - 1)])]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
