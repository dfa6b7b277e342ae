"""A scatter plot of rollout prompts: which of them `tritrace data curate` keeps."""

from collections.abc import Mapping

from data.selection.curation import Box, Curated, Selection
from eval.report.plots import BOTTOM, LEFT, RIGHT, TOP, Chart, Mark, Scale, tick_step, ticks

_GREY, _BLUE = 0, 1
"""Colours of the report's first two stages."""


def selection_chart(found: Mapping[str, Curated], box: Box) -> Chart:
    """Plot the standard deviation of each prompt's scores against their mean, and the outline of the box.

    Kept prompts are blue, the others grey. Prompts without a score are only counted.
    """
    across, up = Scale(0.0, 1.0, LEFT, RIGHT), Scale(0.0, 0.5, BOTTOM, TOP)
    kept = [each.outcome is Selection.KEPT for each in found.values()]
    counts = {outcome: sum(each.outcome is outcome for each in found.values()) for outcome in Selection}
    low, high, bottom, top = across(box.low), across(box.high), up(box.min_spread), up(0.5)
    return Chart(
        title=f"{sum(kept)} of {len(kept)} prompts kept (blue)",
        description=", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number),
        x_ticks=ticks(across, step=tick_step(across)),
        y_ticks=ticks(up, step=0.1),
        path=((low, bottom), (high, bottom), (high, top), (low, top), (low, bottom)),
        marks=tuple(
            Mark(_BLUE if is_kept else _GREY, across(each.quality), up(each.instability), label="")
            for each, is_kept in sorted(zip(found.values(), kept, strict=True), key=lambda pair: pair[1])
            if each.quality is not None and each.instability is not None
        ),
        x_title="mean score →",
        y_title="↑ standard deviation of the scores",
    )
