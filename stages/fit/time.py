"""Hours of the stages on a card, and what of them a budget allows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from stages.errors import StageError
from stages.fit.cards import Card
from stages.fit.choice import GENERATIONS, StageFit
from stages.fit.roofline import update_seconds
from stages.spec import SPECS, Stage

LEAST_UPDATES = 10
"""A stage of fewer teaches nothing that could be seen."""
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of its data a stage is trained on."""

    rows: int
    epochs: int
    max_rows: int | None = None
    """What the recipe says; None for all."""

    def updates(self, stage: Stage) -> int:
        """Return the steps of the optimiser."""
        samples = self.rows * self.epochs * (GENERATIONS if stage == "grpo" else 1)
        return max(1, samples // SPECS[stage].per_update)


def whole_plan(stage: Stage) -> Plan:
    """Return all rows of the published data, as often as was published."""
    return Plan(SPECS[stage].published_rows, SPECS[stage].published_epochs)


def hours(found: StageFit, plan: Plan, card: Card) -> float:
    """Return what a stage takes on a card."""
    seconds = update_seconds(found.shape, found.step, card, found.accumulation)
    return plan.updates(found.stage) * seconds.total / HOUR


def read_budget(text: str) -> float:
    """Return the hours of a text such as 12h, 90m or 1.5h.

    Raises:
        StageError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(h|m)", text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise StageError(f"--budget: expected hours or minutes, such as 12h or 90m, found {text!r}")
    return float(match[1]) / (1 if match[2] == "h" else 60)


def planned(stages: Mapping[Stage, StageFit], card: Card | None, budget_hours: float | None) -> dict[Stage, Plan]:
    """Return how much of its data each stage is trained on within a budget.

    First everything is read once; then every stage keeps the same share of its rows, as many as make whole updates.

    Raises:
        StageError: the budget does not allow ten updates a stage, or there is no card to tell the time of.
    """
    plans = {stage: whole_plan(stage) for stage in stages}
    if budget_hours is None:
        return plans
    if card is None:
        raise StageError("--budget: times are known for named cards only; give --card a name, such as rtx-4060-ti-16gb")

    def total(tried: Mapping[Stage, Plan]) -> float:
        return sum(hours(stages[stage], plan, card) for stage, plan in tried.items())

    if total(plans) <= budget_hours:
        return plans
    once = {stage: replace(plan, epochs=1) for stage, plan in plans.items()}
    share = min(1.0, budget_hours / total(once))
    cut = {stage: _cut(stage, plan, share) for stage, plan in once.items()}
    if short := [stage for stage, plan in cut.items() if plan.updates(stage) < LEAST_UPDATES]:
        least = total({stage: _of_updates(stage, LEAST_UPDATES) for stage in stages})
        raise StageError(
            f"--budget: {budget_hours:g} h leave {short[0]} fewer than {LEAST_UPDATES} updates on {card.name}; "
            f"the least is about {least:.1f} h"
        )
    return cut


def _cut(stage: Stage, plan: Plan, share: float) -> Plan:
    if share == 1.0:
        return plan
    return _of_updates(stage, int(plan.updates(stage) * share))


def _of_updates(stage: Stage, updates: int) -> Plan:
    rows = updates * SPECS[stage].per_update // (GENERATIONS if stage == "grpo" else 1)
    return Plan(rows, 1, rows)
