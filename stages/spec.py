"""The stages of a curriculum: one row a stage, for everything that differs from one to the next but its code.

How a stage trains is in its own module (`sft.py`, `dpo.py`, `grpo.py`). Light: no torch.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from data.rows import PreferencePair, RolloutPrompt, SFTRow

Stage = Literal["sft", "dpo", "grpo"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""In the order of the curriculum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """What is known of a stage before anybody asks for it."""

    name: Stage
    previous: Stage | None
    """The stage whose adapter it continues; None starts a fresh one."""
    row_type: type[Any]
    """What its data file holds."""
    config_name: str
    """TRL's class of its settings."""
    loss_outputs: tuple[str, ...]
    """What TRL 1.16 has its loss compute for each token."""
    published_rows: int
    """Rows, pairs or prompts of the published data (`tritrace data build --preset published`)."""
    published_epochs: int
    per_update: int
    """Rows, pairs or completions an update in the recipes that `tritrace fit` writes."""


SPECS: dict[str, StageSpec] = {
    spec.name: spec
    for spec in (
        StageSpec(
            name="sft",
            previous=None,
            row_type=SFTRow,
            config_name="SFTConfig",
            loss_outputs=("log_probs", "entropy", "is_top1"),
            published_rows=6000,
            published_epochs=2,
            per_update=16,
        ),
        StageSpec(
            name="dpo",
            previous="sft",
            row_type=PreferencePair,
            config_name="DPOConfig",
            loss_outputs=("log_probs",),
            published_rows=18600,
            published_epochs=1,
            per_update=16,
        ),
        StageSpec(
            name="grpo",
            previous="dpo",
            row_type=RolloutPrompt,
            config_name="GRPOConfig",
            loss_outputs=("log_probs", "entropy"),
            published_rows=6000,
            published_epochs=2,
            per_update=64,
        ),
    )
}
"""By name, in the order of the curriculum."""
