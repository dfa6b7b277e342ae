"""Compares a new run of the pocket curriculum with the published bands, which cover all cells of the grid.

`stages/recipes/pocket/published.json` has, by stage and metric, the lowest lower end and the highest upper end of the
95 % intervals of single trainings on the validation split. `make seeds` writes it; `make quickstart` compares with it.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from data.files.json_lines import replacing
from eval.results.metrics import metric_by_name
from eval.results.table import format_number, stage_title
from eval.statistics.intervals import Estimate

Bands = Mapping[str, Mapping[str, tuple[float, float]]]
"""Stage -> metric -> (lowest, highest) value, in the metric's unit."""
PATH = Path(str(files("stages").joinpath("recipes", "pocket", "published.json")))


def write_bands(bands: Bands, path: Path = PATH) -> None:
    """Write the bands, rounded outwards by no more than a thousandth."""
    rounded = {
        stage: {name: [round(low - 5e-4, 3), round(high + 5e-4, 3)] for name, (low, high) in metrics.items()}
        for stage, metrics in bands.items()
    }
    with replacing(path) as file:
        file.write(json.dumps(rounded, indent=1) + "\n")


def read_bands(path: Path = PATH) -> Bands:
    """Return the published bands; {} if there are none."""
    if not path.is_file():
        return {}
    record = json.loads(path.read_text(encoding="utf-8"))
    return {stage: {name: (low, high) for name, (low, high) in metrics.items()} for stage, metrics in record.items()}


def compared(estimates: Mapping[str, Mapping[str, Estimate]], bands: Bands) -> list[str]:
    """Compare the numbers of a run with the published bands.

    Args:
        estimates: stage -> metric -> estimate.
        bands: the published bands.

    Returns:
        Lines to print; [] if there are no bands.
    """
    outside, num_compared = [], 0
    for stage, metrics in bands.items():
        for name, (low, high) in metrics.items():
            value = estimates[stage][name].value if stage in estimates else None
            if value is None:
                continue
            num_compared += 1
            if not low <= value <= high:
                metric = metric_by_name[name]
                found, least, most = (format_number(each, 1) for each in (value, low, high))
                outside.append(f"{metric.title} after {stage_title(stage)}: {found}, published {least} to {most}")
    if not num_compared:
        return []
    if not outside:
        return [f"as published: all {num_compared} numbers lie within the published intervals"]
    head = f"not as published: {len(outside)} of {num_compared} numbers lie outside the published intervals"
    return [head, *(f"  {line}" for line in outside)]
