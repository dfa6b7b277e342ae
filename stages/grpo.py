"""GRPO: sample responses, reward them, and make the better ones of each group likelier.

    tritrace grpo --config stages/recipes/pocket/grpo.yaml --model MODEL --parent RUN/dpo

Continues the parent's adapter on `RolloutPrompt`s; the reference policy is the parent, as in DPO. The reward is a
preset of `eval/presets` over the scores that evaluation reports. One page over TRL's `GRPOTrainer`.
"""

from pathlib import Path
from typing import Any

from trl import GRPOConfig

from stages.arguments import GRPOArguments
from stages.judging import build_judge
from stages.lifecycle import run_stage
from stages.progress import say
from stages.rewards import build_reward
from stages.rollout_trainer import RolloutTrainer
from stages.rollouts import Reward, RolloutLog
from stages.training import Setup


def run(arguments: GRPOArguments, config: GRPOConfig, reward: Reward | None = None) -> Path:
    """Train the stage, or continue or skip it, and return its folder.

    Args:
        arguments: ours.
        config: TRL's.
        reward: with TRL's signature; by default the preset that the arguments name.

    Raises:
        StageError: the recipe, its files or the parent stage will not do.
        JudgeError: the judge cannot be used, or too much of what it was asked went unscored.
    """
    with build_judge(arguments) as judge:
        reward = build_reward(arguments.reward, judge, arguments) if reward is None else reward
        folder = run_stage("grpo", arguments, config, build_trainer, reward)
        for line in judge.report():
            say(line)
    return folder


def build_trainer(setup: Setup) -> RolloutTrainer:
    """Return TRL's trainer over the adapter, with a record of its rollouts.

    Raises:
        ValueError: the job has no reward.
    """
    arguments: Any = setup.job.arguments
    reward = setup.job.reward
    if reward is None:
        raise ValueError("a job of GRPO needs a reward")
    rollout_log = RolloutLog(
        setup.job.output / "rollouts.jsonl",
        reward,
        max_unscored=arguments.max_unscored,
        first_step=setup.job.first_step,
    )
    return RolloutTrainer(
        rollout_log=rollout_log,
        model=setup.model,
        args=setup.job.config,
        train_dataset=setup.dataset,
        processing_class=setup.processor,
    )
