"""Options of GRPO's rollouts: sampling, storage, and the treatment of groups without a learning signal."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from stages.arguments.options import COSMETIC, COUNT, NEUTRAL, REWARD, SHARE, With

ZeroSpread = Literal["keep", "skip", "resample"]
Reflect = Literal["none", "self", "informed"]
_REFLECTING = With("reflect", frozenset({"self", "informed"}))


@dataclass(frozen=True, kw_only=True)
class RolloutArguments:
    """Keys in addition to TRL's; `stages/rollouts/README.md` explains the effect of each on training."""

    max_unscored: Annotated[float, SHARE] = 0.2
    """Training stops if more than this share of the last rollouts is unscored (judge unreachable, reward raises)."""
    rollouts_file_mib: Annotated[int, COUNT, COSMETIC] = 64
    """At this size `rollouts.jsonl` is renamed to `rollouts.0001.jsonl`, and so on, and a new file begins."""
    merge_for_sampling: Annotated[bool, NEUTRAL] = True
    """Sample, and in float32 score without gradients, from merged weights. Faster; copies the adapted layers."""
    share_prompts: Annotated[bool, NEUTRAL] = True
    """Compute a prompt once for its whole group, in sampling and in the loss, if the model allows it."""
    constrained: Annotated[bool, NEUTRAL] = False
    """Constrain sampling to the grammar of each prompt's plan; the loss is still that of the unconstrained policy."""
    overlong_window: Annotated[int, NEUTRAL] = 0
    """Length of the soft penalty window before the limit, up to one point of reward (DAPO); 0 disables it."""
    zero_spread: Annotated[ZeroSpread, NEUTRAL] = "keep"
    """Treatment of groups with equal rewards: train on their KL term, leave them out, or first sample other prompts."""
    resample_rounds: Annotated[int, COUNT, With("zero_spread", frozenset({"resample"}))] = 2
    """How often other prompts are sampled instead of such groups. Groups that still have equal rewards are left out."""
    reflect: Annotated[Reflect, NEUTRAL] = "none"
    """Let the policy correct responses with low reward. It sees the checker's diagnostics, or also the labels."""
    reflect_below: Annotated[float, REWARD, _REFLECTING] = 0.5
    """Responses with less than this reward are corrected."""
    reflect_share: Annotated[float, _REFLECTING] = 0.25
    """Maximum share of corrections in a group; the rest are the policy's own responses to the prompt."""

    @property
    def looks_ahead(self) -> bool:
        """Whether responses are judged before the batch is final."""
        return self.reflect != "none" or self.zero_spread == "resample"


def num_corrections(share: float, group_size: int) -> int:
    """Return the maximum number of corrections in a group.

    >>> num_corrections(0.25, 8), num_corrections(0.3, 10)
    (2, 3)
    """
    return int(share * group_size + 1e-9)


def rollout_problems(arguments: RolloutArguments, config: Any) -> list[str]:
    """Return the options that are out of bounds or contradict each other, as messages."""
    problems = []
    longest = config.max_completion_length or 0
    if not 0 <= arguments.overlong_window <= longest:
        problems.append(
            f"overlong_window: expected 0 to max_completion_length ({longest}), found {arguments.overlong_window}"
        )
    group = config.num_generations
    if arguments.reflect != "none" and not 1 <= num_corrections(arguments.reflect_share, group) <= group / 2:
        problems.append(
            f"reflect_share: expected one response to half of a group of {group}, found {arguments.reflect_share:g}"
        )
    return problems + _unfit_together(arguments, config) + _unfit_grpo(config)


def _unfit_together(arguments: RolloutArguments, config: Any) -> list[str]:
    problems = []
    if config.use_vllm and (arguments.looks_ahead or arguments.constrained):
        problems.append(
            "use_vllm: reflect, zero_spread: resample and constrained sample with transformers; leave it out"
        )
    if config.use_vllm and getattr(arguments, "load_in_4bit", False):
        problems.append(
            "use_vllm: TRL would have to add the adapter to 4-bit weights at every sync; leave one of them out"
        )
    if config.use_vllm and config.vllm_mode == "colocate" and config.vllm_max_model_length is None:
        problems.append(
            "vllm_max_model_length: vLLM would make room for the model's whole window; set it, or max_tokens, to the "
            "longest prompt and completion"
        )
    completions = config.per_device_train_batch_size * config.steps_per_generation
    if arguments.looks_ahead and completions % config.num_generations:
        problems.append(
            f"per_device_train_batch_size: {completions} completions per process split a group of "
            f"{config.num_generations}; reflect and zero_spread: resample need whole groups"
        )
    return problems


def _unfit_grpo(config: Any) -> list[str]:
    problems = []
    if config.beta <= 0:
        problems.append(f"beta: expected more than 0, found {config.beta}; at 0 TRL keeps no reference policy")
    # Number of updates on the rollouts of one generation; below 1 if gradients accumulate over several generations.
    period = max(1.0, config.steps_per_generation * config.num_iterations / config.gradient_accumulation_steps)
    if config.save_steps % period:
        problems.append(
            f"save_steps: {config.save_steps:g} falls within a generation, which lasts {period:g} steps, so that "
            f"a resumed run would differ from an uninterrupted one; use a multiple of {period:g}"
        )
    return problems


def without_bite(config: Any) -> dict[str, str]:
    """Return the options of GRPO that have no effect, with the reason.

    TRL 1.16 keeps the log-probabilities of the sampling policy only if there is an update between sampling and
    training. Otherwise the ratio of the two policies is 1, and nothing is clipped.
    """
    period = config.steps_per_generation * config.num_iterations
    is_corrected = config.use_vllm and config.vllm_importance_sampling_correction
    if config.gradient_accumulation_steps % period or is_corrected:
        return {}
    reason = "no effect: every completion is trained on once, before the policy that sampled it changes"
    return dict.fromkeys(("epsilon", "epsilon_high"), reason)
