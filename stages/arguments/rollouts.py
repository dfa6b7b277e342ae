"""What a recipe of GRPO can say about its rollouts: how they are sampled, kept, and what becomes of useless groups."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from stages.arguments.options import COSMETIC, COUNT, NEUTRAL, REWARD, SHARE, With

ZeroSpread = Literal["keep", "skip", "resample"]
Reflect = Literal["none", "self", "informed"]
_REFLECTING = With("reflect", frozenset({"self", "informed"}))


@dataclass(frozen=True, kw_only=True)
class RolloutArguments:
    """Keys beside TRL's own; `stages/rollouts/README.md` says what each of them does to training."""

    max_unscored: Annotated[float, SHARE] = 0.2
    """Share of the last rollouts that may go unscored (a judge that is down, a reward that raises) before it stops."""
    rollouts_file_mib: Annotated[int, COUNT, COSMETIC] = 64
    """Size from which `rollouts.jsonl` is put aside as `rollouts.0001.jsonl`, and so on, and begun anew."""
    merge_for_sampling: Annotated[bool, NEUTRAL] = True
    """Sample from weights with the adapter added to them, which is faster and takes a copy of the adapted layers."""
    share_prompts: Annotated[bool, NEUTRAL] = True
    """Compute a prompt once for its whole group, in sampling and in the loss, where the model allows it."""
    constrained: Annotated[bool, NEUTRAL] = False
    """Sample under the grammar of each prompt's plan; the loss stays that of the unconstrained policy."""
    overlong_window: Annotated[int, NEUTRAL] = 0
    """Length of the soft penalty window before the limit, up to one point of reward (DAPO); 0 disables it."""
    zero_spread: Annotated[ZeroSpread, NEUTRAL] = "keep"
    """Groups whose rewards do not differ: train on their KL term, leave them out, or sample other prompts first."""
    resample_rounds: Annotated[int, COUNT, With("zero_spread", frozenset({"resample"}))] = 2
    """How often other prompts are sampled in place of such groups; what then still does not differ is left out."""
    reflect: Annotated[Reflect, NEUTRAL] = "none"
    """Have low responses corrected by the policy: told what the checker finds, or also what the labels know."""
    reflect_below: Annotated[float, REWARD, _REFLECTING] = 0.5
    """Reward under which a response is reflected on."""
    reflect_share: Annotated[float, _REFLECTING] = 0.25
    """Most of a group that may be corrections; the rest are the policy's own responses to the prompt."""

    @property
    def looks_ahead(self) -> bool:
        """Whether responses are judged before the batch is fixed."""
        return self.reflect != "none" or self.zero_spread == "resample"


def num_corrections(share: float, group_size: int) -> int:
    """Return the places of a group that corrections may take.

    >>> num_corrections(0.25, 8), num_corrections(0.3, 10)
    (2, 3)
    """
    return int(share * group_size + 1e-9)


def rollout_problems(arguments: RolloutArguments, config: Any) -> list[str]:
    """Return what cannot work together."""
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
            f"per_device_train_batch_size: {completions} completions a process split a group of "
            f"{config.num_generations}; reflect and zero_spread: resample need whole groups"
        )
    return problems


def _unfit_grpo(config: Any) -> list[str]:
    problems = []
    if config.beta <= 0:
        problems.append(f"beta: expected more than 0, found {config.beta}; at 0 TRL keeps no reference policy")
    # Updates made on the rollouts of one generation; below 1 where gradients accumulate over several.
    period = max(1.0, config.steps_per_generation * config.num_iterations / config.gradient_accumulation_steps)
    if config.save_steps % period:
        problems.append(
            f"save_steps: {config.save_steps:g} falls within a generation, which lasts {period:g} steps, so that "
            f"a resumed run would differ from an uninterrupted one; use a multiple of {period:g}"
        )
    return problems


def without_bite(config: Any) -> dict[str, str]:
    """Return which values of GRPO have no effect, and why.

    TRL 1.16 keeps log-probabilities of the policy that sampled only where an update comes between sampling and
    training; elsewhere the ratio of the two is 1, and nothing is clipped.
    """
    period = config.steps_per_generation * config.num_iterations
    is_corrected = config.use_vllm and config.vllm_importance_sampling_correction
    if config.gradient_accumulation_steps % period or is_corrected:
        return {}
    reason = "no effect: every completion is trained on once, before the policy that sampled it changes"
    return dict.fromkeys(("epsilon", "epsilon_high"), reason)
