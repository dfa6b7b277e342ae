"""Values of TRL's keys that cannot work here whatever the rows are: refused when a recipe is read."""

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

_MAY_BE_INFINITE = frozenset({"max_grad_norm"})


def refused_by_trainer(config: Any) -> Iterator[str]:
    """Yield what a trainer would refuse, or could only spoil a run with."""
    for option in fields(config):
        value = getattr(config, option.name, None)
        if not isinstance(value, float) or math.isfinite(value):
            continue
        if math.isnan(value) or option.name not in _MAY_BE_INFINITE:
            yield f"{option.name}: expected a finite number, found {value}"
    if math.isfinite(config.learning_rate) and config.learning_rate <= 0:
        yield f"learning_rate: expected more than 0, found {config.learning_rate:g}; nothing would be learnt"
    if config.eval_strategy != "no":
        yield f"eval_strategy: expected no, found {config.eval_strategy.value}; `tritrace eval` evaluates a stage"
    if config.push_to_hub:
        yield "push_to_hub: expected false; `tritrace export` writes what can be pushed"
    yield from _reporting(config.report_to)


def _reporting(report_to: list[str]) -> Iterator[str]:
    available = get_available_reporting_integrations()
    for name in report_to:
        if name in {"none", "all"}:
            continue
        if name not in INTEGRATION_TO_CALLBACK:
            yield f"report_to: expected none, or some of {', '.join(sorted(INTEGRATION_TO_CALLBACK))}; found {name}"
        elif name not in available:
            yield f"report_to: {name} is not installed; leave it out: stages track their runs in MLflow by themselves"
