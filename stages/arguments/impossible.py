"""Rejects values of TRL's keys that can never work here, when a recipe is read."""

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

_MAY_BE_INFINITE = frozenset({"max_grad_norm"})
CHOICES = {
    "DPOConfig": {
        "loss_type": (
            *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot"),
            *("aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
        ),
        "f_divergence_type": ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"),
    },
    "GRPOConfig": {
        "loss_type": ("grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"),
        "scale_rewards": ("group", "batch", "none"),
        "importance_sampling_level": ("token", "sequence"),
        "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
        "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
    },
}
"""Allowed words for keys that TRL 1.16 checks only at the first batch, where a wrong word would end the run."""


def refused_by_trainer(config: Any) -> Iterator[str]:
    """Yield values that a trainer would reject, or that would spoil a run."""
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
    yield from _order_of_rows(config)
    yield from _unknown_words(config)
    yield from _reporting(config.report_to)


def _order_of_rows(config: Any) -> Iterator[str]:
    key, chosen = "train_sampling_strategy", config.train_sampling_strategy
    if hasattr(config, "num_generations"):
        if chosen != "random":
            yield f"{key}: expected random, found {chosen}; GRPO draws its prompts itself (shuffle_dataset)"
    elif chosen == "batch_rebalance":
        yield f"{key}: expected group_by_length, sequential or random, found {chosen}, which counts no pictures"
    elif chosen == "group_by_length":
        # Both change the order or the number of rows after their tokens were counted.
        for other in ("packing", "shuffle_dataset"):
            if getattr(config, other, False):
                yield f"{key}: group_by_length does not go with {other}; leave one of the two out"


def _unknown_words(config: Any) -> Iterator[str]:
    for name, known in CHOICES.get(type(config).__name__, {}).items():
        value = getattr(config, name, known[0])
        for word in value if isinstance(value, list) else [value]:
            if word not in known:
                yield f"{name}: expected one of {', '.join(known)}; found {word!r}"


def _reporting(report_to: list[str]) -> Iterator[str]:
    available = get_available_reporting_integrations()
    for name in report_to:
        if name in {"none", "all"}:
            continue
        if name not in INTEGRATION_TO_CALLBACK:
            yield f"report_to: expected none, or some of {', '.join(sorted(INTEGRATION_TO_CALLBACK))}; found {name}"
        elif name not in available:
            yield f"report_to: {name} is not installed; leave it out: stages track their runs in MLflow by themselves"
