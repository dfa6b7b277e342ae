"""The table of stages: one row for each stage, with all differences between stages except code.

The code of a stage is in its own module (`sft.py`, `dpo.py`, `grpo.py`). This module imports no torch.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from data.rows import PreferencePair, RolloutPrompt, SFTRow

Stage = Literal["sft", "dpo", "grpo"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""In the order of the curriculum."""
POCKET = "pocket"
"""The name of the base model that ships."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """The fixed properties of a stage."""

    name: Stage
    previous: Stage | None
    """The stage whose adapter it continues; None starts a new adapter."""
    row_type: type[Any]
    """Type of the rows in its data file."""
    config_name: str
    """Name of TRL's class for its options."""
    loss_outputs: tuple[str, ...]
    """Values that TRL 1.16 computes for each token in the loss."""
    published_rows: int
    """Rows, pairs or prompts of the published data (`tritrace data build --preset published`)."""
    published_epochs: int
    per_update: int
    """Rows, pairs or completions per update in the recipes of `tritrace fit`."""


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
