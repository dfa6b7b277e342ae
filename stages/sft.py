"""SFT: trains the policy to imitate reference responses.

    tritrace sft --config stages/recipes/pocket/sft.yaml --model MODEL

Trains a new LoRA adapter on `SFTRow`s; only completions are in the loss. A thin layer over TRL's `SFTTrainer`.
"""

from pathlib import Path

from trl import SFTConfig, SFTTrainer

from stages.arguments.stage import StageArguments
from stages.inputs.grouping import GroupsByLength, lengths_to_group
from stages.lifecycle.stage import run_stage
from stages.lifecycle.training import Setup


def run(arguments: StageArguments, config: SFTConfig) -> Path:
    """Train, continue or skip the stage, and return its folder.

    Raises:
        StageError: the recipe, its files or the parent stage cannot be used.
    """
    # TRL would infer this from the columns. A loss on the prompt would teach the model to write plans.
    config.completion_only_loss = True
    return run_stage("sft", arguments, config, build_trainer)


class Trainer(GroupsByLength, SFTTrainer):
    """TRL's trainer, whose batches may be rows of like length."""


def build_trainer(setup: Setup) -> SFTTrainer:
    """Return TRL's trainer for the adapter."""
    job = setup.job
    trainer = Trainer(
        model=setup.model,
        args=job.config,
        train_dataset=setup.dataset,
        processing_class=setup.processor,
    )
    trainer.lengths = lengths_to_group(job.config, job.rows, setup.processor, job.images_root)
    return trainer
