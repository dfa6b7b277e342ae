"""SFT: imitate reference responses.

    tritrace sft --config stages/recipes/pocket/sft.yaml --model MODEL

Trains a fresh LoRA adapter on `SFTRow`s; the loss is on the completion alone. One page over TRL's `SFTTrainer`.
"""

from pathlib import Path

from trl import SFTConfig, SFTTrainer

from stages.arguments.stage import StageArguments
from stages.inputs.grouping import GroupsByLength, lengths_to_group
from stages.lifecycle.stage import run_stage
from stages.lifecycle.training import Setup


def run(arguments: StageArguments, config: SFTConfig) -> Path:
    """Train the stage, or continue or skip it, and return its folder.

    Raises:
        StageError: the recipe, its files or the parent stage will not do.
    """
    # TRL would infer this from the columns; a loss on the prompt teaches the model to write plans.
    config.completion_only_loss = True
    return run_stage("sft", arguments, config, build_trainer)


class Trainer(GroupsByLength, SFTTrainer):
    """TRL's trainer, whose batches may be rows of like length."""


def build_trainer(setup: Setup) -> SFTTrainer:
    """Return TRL's trainer over the adapter."""
    job = setup.job
    trainer = Trainer(
        model=setup.model,
        args=job.config,
        train_dataset=setup.dataset,
        processing_class=setup.processor,
    )
    trainer.lengths = lengths_to_group(job.config, job.rows, setup.processor, job.images_root)
    return trainer
