"""Hours of the stages on a card, and how much training a budget of hours allows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from stages.errors import StageError
from stages.fit.cards import Card
from stages.fit.choice import GENERATIONS, StageFit
from stages.fit.roofline import update_seconds
from stages.spec import SPECS, Stage

LEAST_UPDATES = 10
"""Minimum updates of a stage. Fewer have no measurable effect."""
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class TrainingAmount:
    """How much of its data a stage is trained on."""

    rows: int
    epochs: int
    max_rows: int | None = None
    """The recipe's `max_rows`; None for all rows."""

    def updates(self, stage: Stage) -> int:
        """Return the number of optimiser steps."""
        samples = self.rows * self.epochs * (GENERATIONS if stage == "grpo" else 1)
        return max(1, samples // SPECS[stage].per_update)


def whole_amount(stage: Stage) -> TrainingAmount:
    """Return the published amount: all rows, for the published number of epochs."""
    return TrainingAmount(SPECS[stage].published_rows, SPECS[stage].published_epochs)


def hours(found: StageFit, amount: TrainingAmount, card: Card) -> float:
    """Return the hours of a stage on a card."""
    seconds = update_seconds(found.shape, found.step, card, found.accumulation)
    return amount.updates(found.stage) * seconds.total / HOUR


def read_budget(text: str) -> float:
    """Return the hours that a text such as 12h, 90m or 1.5h means.

    Raises:
        StageError: the text has another form.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(h|m)", text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise StageError(f"--budget: expected hours or minutes, such as 12h or 90m, found {text!r}")
    return float(match[1]) / (1 if match[2] == "h" else 60)


def amounts_within(
    stages: Mapping[Stage, StageFit], card: Card | None, budget_hours: float | None
) -> dict[Stage, TrainingAmount]:
    """Return how much of its data each stage is trained on within a budget.

    First each stage is cut to one epoch. If this is still too long, every stage keeps the same share of its rows,
    rounded to whole updates.

    Raises:
        StageError: the budget does not allow ten updates a stage, or the card has no name, and so no figures.
    """
    amounts = {stage: whole_amount(stage) for stage in stages}
    if budget_hours is None:
        return amounts
    if card is None:
        raise StageError("--budget: times are known for named cards only; give --card a name, such as rtx-4060-ti-16gb")

    def total(tried: Mapping[Stage, TrainingAmount]) -> float:
        return sum(hours(stages[stage], amount, card) for stage, amount in tried.items())

    if total(amounts) <= budget_hours:
        return amounts
    once = {stage: replace(amount, epochs=1) for stage, amount in amounts.items()}
    share = min(1.0, budget_hours / total(once))
    cut = {stage: _cut(stage, amount, share) for stage, amount in once.items()}
    if short := [stage for stage, amount in cut.items() if amount.updates(stage) < LEAST_UPDATES]:
        least = total({stage: _of_updates(stage, LEAST_UPDATES) for stage in stages})
        raise StageError(
            f"--budget: {budget_hours:g} h leave {short[0]} fewer than {LEAST_UPDATES} updates on {card.name}; "
            f"the least is about {least:.1f} h"
        )
    return cut


def _cut(stage: Stage, amount: TrainingAmount, share: float) -> TrainingAmount:
    if share == 1.0:
        return amount
    return _of_updates(stage, int(amount.updates(stage) * share))


def _of_updates(stage: Stage, updates: int) -> TrainingAmount:
    rows = updates * SPECS[stage].per_update // (GENERATIONS if stage == "grpo" else 1)
    return TrainingAmount(rows, 1, rows)
