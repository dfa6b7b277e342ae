"""The largest step of a stage on one device, which decides its memory."""

import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The worst step of a stage, on one device."""

    stage: str
    sequences: int
    """Rows in one forward pass; a pair counts as two."""
    tokens: int
    """Tokens of the longest row: prompt, image tokens and completion."""
    learnt: int
    """Tokens of the longest completion."""
    image_tokens: int
    """Image tokens of a row."""
    sampled: int = 0
    """GRPO: completions sampled together."""
    checkpoints: bool = False
    """Whether activations are recomputed in the backward pass."""
    optimiser: str = "adamw_torch_fused"
    eager: bool = False
    """Whether attention stores its matrix of tokens by tokens."""
    on_gpu: bool = True
    shards: int = 1
    """Number of processes that share the weights, by FSDP2 or ZeRO-3."""

    @property
    def sampled_tokens(self) -> int:
        """Tokens of the longest sampled response; 0 if nothing is sampled."""
        return self.learnt if self.sampled else 0


def worst_step(
    stage: str, config: Any, *, tokens: int, learnt: int, image_tokens: int, eager: bool, on_gpu: bool
) -> Step:
    """Return the worst step of a stage.

    Args:
        stage: sft, dpo or grpo.
        config: TRL's options.
        tokens: tokens of the longest row, with its longest completion.
        learnt: tokens of the longest completion.
        image_tokens: image tokens of a row.
        eager: whether attention stores its matrix.
        on_gpu: whether it runs on a GPU.
    """
    batch = config.per_device_train_batch_size
    return Step(
        stage=stage,
        sequences=2 * batch if stage == "dpo" else batch,
        tokens=tokens,
        learnt=learnt,
        image_tokens=image_tokens,
        sampled=batch * config.steps_per_generation if stage == "grpo" else 0,
        checkpoints=bool(config.activation_checkpointing),
        optimiser=optimiser_of(config),
        eager=eager,
        on_gpu=on_gpu,
        shards=num_shards(config),
    )


def num_shards(config: Any) -> int:
    """Return the number of processes that share the weights by FSDP2 or ZeRO-3; 1 if each process has all weights."""
    zero = config.deepspeed_plugin
    is_divided = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" or (zero and zero.zero_stage == 3)
    return int(config.world_size) if is_divided else 1


def optimiser_of(config: Any) -> str:
    """Return the name of a stage's optimiser in transformers."""
    return str(getattr(config.optim, "value", config.optim))
