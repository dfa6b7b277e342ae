"""Builds TRL's own trainers for comparison: same model, adapter, settings and rows; GRPO gets a constant reward."""

import copy

from trl import DPOTrainer, GRPOTrainer, SFTTrainer

TRAINERS = {"sft": SFTTrainer, "dpo": DPOTrainer, "grpo": GRPOTrainer}


def constant(*, completions, **_):
    """Give every completion the same reward."""
    return [0.5] * len(completions)


def build_bare(stage, config, model, processor, dataset):
    """Return TRL's trainer of a stage."""
    reward = {"reward_funcs": [constant]} if stage == "grpo" else {}
    return TRAINERS[stage](
        model=model, args=copy.deepcopy(config), train_dataset=dataset, processing_class=processor, **reward
    )
