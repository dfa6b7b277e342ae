"""GRPO: samples responses, computes their rewards, and makes the better responses of each group more likely.

    tritrace grpo --config stages/recipes/pocket/grpo.yaml --model MODEL --parent RUN/dpo

Continues the parent's adapter on `RolloutPrompt`s; the reference policy is the parent, as in DPO. The reward is a
preset of `eval/presets`, computed from the same scores as in evaluation. A thin layer over TRL's `GRPOTrainer`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from eval.models.processors import load_processor, tokenizer_of
from eval.policies.constrained import check_budget
from stages.arguments.judge import build_judge
from stages.arguments.stage import GRPOArguments
from stages.inputs.loading import load_options
from stages.lifecycle.stage import run_stage
from stages.lifecycle.training import Setup
from stages.progress import say
from stages.rollouts.guarded_reward import GuardedReward
from stages.rollouts.record.log import MEBIBYTE, RolloutLog
from stages.rollouts.reward import RewardFunction, build_reward
from stages.rollouts.sampling.vllm import ScaledPictures
from stages.rollouts.trainer import RolloutTrainer


def run(arguments: GRPOArguments, config: GRPOConfig, reward: RewardFunction | None = None) -> Path:
    """Train, continue or skip the stage, and return its folder.

    Args:
        arguments: our options.
        config: TRL's options.
        reward: the reward function; by default the preset that the arguments name.

    Raises:
        StageError: the recipe, its files or the parent stage cannot be used.
        JudgeError: the judge cannot be used, or too many of its verdicts are unscored.
    """
    with build_judge(arguments) as judge:
        guarded = guard(reward or build_reward(arguments.reward, judge, arguments), arguments, config)
        try:
            return run_stage("grpo", arguments, config, build_trainer, guarded)
        finally:
            for line in [*judge.report(), *guarded.report()]:
                say(line)


def guard(reward: RewardFunction, arguments: GRPOArguments, config: GRPOConfig) -> GuardedReward:
    """Return the guarded reward, which contains errors, counts failures and adds the recipe's length penalty."""
    return GuardedReward(
        reward,
        max_unscored=arguments.max_unscored,
        max_completion_length=config.max_completion_length,
        overlong_window=arguments.overlong_window,
    )


def build_trainer(setup: Setup) -> RolloutTrainer:
    """Return the trainer for the adapter, which also records its rollouts.

    Raises:
        BudgetError: rollouts are constrained, and a plan needs longer responses.
        ValueError: the job has no reward.
    """
    job = setup.job
    arguments: Any = job.arguments
    if job.reward is None:
        raise ValueError("a job of GRPO needs a reward")
    if arguments.constrained:
        plans = [row.plan for row in job.rows]
        check_budget(plans, tokenizer_of(setup.processor), job.config.max_completion_length)
    rollout_log = RolloutLog(
        job.output / "rollouts.jsonl",
        job.reward,
        group_size=job.config.num_generations,
        first_step=job.first_step,
        max_bytes=arguments.rollouts_file_mib * MEBIBYTE,
        run=setup.run,
        table_every=max(1, int(job.config.logging_steps)),
    )
    return RolloutTrainer(
        rollout_log=rollout_log,
        choices=arguments,
        scaled_pictures=_scaled_pictures(setup) if job.config.use_vllm else None,
        model=setup.model,
        args=job.config,
        train_dataset=setup.dataset,
        processing_class=setup.processor,
    )


def _scaled_pictures(setup: Setup) -> ScaledPictures:
    """Return how to scale pictures for vLLM, which scales by the model's own files."""
    arguments = setup.job.arguments
    options = load_options(arguments, trust_remote_code=setup.job.config.trust_remote_code)
    published = load_processor(arguments.model, replace(options, min_pixels=None, max_pixels=None))
    return ScaledPictures(setup.processor, published)
