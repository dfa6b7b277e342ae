"""Curves over training steps: the reward of rollouts with its components, and any number that a stage logs."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from eval.report.plots import BOTTOM, LEFT, RIGHT, TOP, Chart, Scale, Tick, tick_step, ticks
from eval.results.table import format_number

MOST_TICKS = 5


def rollout_charts(rollouts: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Plot the reward and each of its components over training steps; records of one step are averaged.

    Args:
        rollouts: records with "step", "reward" and optionally "components", a mapping of name to mean.
    """
    points: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in rollouts:
        for name, value in {"reward": record["reward"], **record.get("components", {})}.items():
            if value is not None and math.isfinite(value):
                points[name][int(record["step"])].append(float(value))
    return [
        curve_chart(name, {step: sum(values) / len(values) for step, values in sorted(steps.items())})
        for name, steps in points.items()
    ]


def curve_chart(name: str, values: Mapping[int, float], *, is_fitted: bool = False) -> Chart:
    """Plot a number over training steps.

    Args:
        name: the title.
        values: by step, in the order of the steps; at least one.
        is_fitted: let the axis end close to the values. Otherwise it has room for 0 and 1, as the axes of all shares
            do, and ends at whole numbers.
    """
    first, last = min(values), max(values)
    across = Scale(first, max(last, first + 1), LEFT, RIGHT)
    low, high = min(values.values()), max(values.values())
    step = _fitted_step(low, high) if is_fitted else 1.0
    room = 0.0 if is_fitted and (low or high) else 1.0
    up = Scale(min(0.0, step * math.floor(low / step)), max(room, step * math.ceil(high / step)), BOTTOM, TOP)
    start, end = format_number(values[first], 2), format_number(values[last], 2)
    return Chart(
        title=name,
        description=f"{start} at step {first}, {end} at step {last}",
        x_ticks=(Tick(across(first), str(first)), Tick(across(last), f"step {last}")),
        y_ticks=ticks(up, step=step if is_fitted else tick_step(up)),
        path=tuple((across(step), up(value)) for step, value in values.items()),
        trend=tuple((across(step), up(value)) for step, value in _smoothed(values).items()),
    )


def _fitted_step(low: float, high: float) -> float:
    """Return the step of 1, 2 or 5 times a power of ten that gives at most five ticks from 0 over all values.

    >>> _fitted_step(0.07, 0.134), _fitted_step(0.0, 4.7), _fitted_step(0.0, 0.0)
    (0.05, 2.0, 1.0)
    """
    size = max(high, 0.0) - min(low, 0.0)
    if size == 0:
        return 1.0
    power = math.floor(math.log10(size)) - 1
    steps = [number * 10.0**exponent for exponent in range(power, power + 3) for number in (1, 2, 5)]
    fits = (each for each in steps if math.ceil(high / each) - math.floor(min(low, 0.0) / each) < MOST_TICKS)
    return round(next(fits), 12)


def _smoothed(values: Mapping[int, float]) -> dict[int, float]:
    """Return a moving mean over a tenth of the steps; empty if there are too few steps."""
    reach = len(values) // 20
    numbers = list(values.values())
    if not reach:
        return {}
    windows = [numbers[max(0, at - reach) : at + reach + 1] for at in range(len(numbers))]
    return {step: sum(window) / len(window) for step, window in zip(values, windows, strict=True)}
