"""DPO: trains the policy to prefer valid, honest responses to corrupted ones.

    tritrace dpo --config stages/recipes/pocket/dpo.yaml --model MODEL --parent RUN/sft

Continues the parent's adapter on `PreferencePair`s. The reference policy is the parent: TRL copies the given adapter
and freezes the copy; `training.py` asserts this. A thin layer over TRL's `DPOTrainer`.
"""

from pathlib import Path

from trl import DPOConfig, DPOTrainer

from stages.arguments.stage import StageArguments
from stages.inputs.grouping import GroupsByLength, lengths_to_group
from stages.lifecycle.stage import run_stage
from stages.lifecycle.training import Setup


def run(arguments: StageArguments, config: DPOConfig) -> Path:
    """Train, continue or skip the stage, and return its folder.

    Raises:
        StageError: the recipe, its files or the parent stage cannot be used.
    """
    return run_stage("dpo", arguments, config, build_trainer)


class Trainer(GroupsByLength, DPOTrainer):
    """TRL's trainer, whose batches may be pairs of like length."""


def build_trainer(setup: Setup) -> DPOTrainer:
    """Return TRL's trainer for the adapter; without `peft_config`, which would add a second adapter."""
    job = setup.job
    trainer = Trainer(
        model=setup.model,
        args=job.config,
        train_dataset=setup.dataset,
        processing_class=setup.processor,
    )
    trainer.lengths = lengths_to_group(job.config, job.rows, setup.processor, job.images_root)
    return trainer
