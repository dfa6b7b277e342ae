"""Which rollout prompts are worth training on: of moderate quality and high instability for a given policy.

After the curation of SaFeR-VLM ("QI-Box"): several responses of the current policy to every prompt are scored. Where
all are good or all are bad, the advantages of a group are zero and GRPO learns nothing; where they differ, the policy
succeeds sometimes. Pure functions over scores; `stages/cli/rows/generated/curate.py` samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, pstdev


class Selection(StrEnum):
    """Whether a prompt is kept, or why not."""

    KEPT = "kept"
    HOPELESS = "hopeless"
    """The mean score is below the box."""
    SOLVED = "solved"
    """The mean score is above the box."""
    STEADY = "steady"
    """The responses are worth about the same."""
    UNSCORED = "unscored"
    """Fewer than two responses were scored: nothing is known."""
    BEYOND = "beyond the limit"
    """In the box, but others are more unstable."""


@dataclass(frozen=True, slots=True)
class Box:
    """What is kept."""

    low: float = 0.1
    """Least mean score, 0..1."""
    high: float = 0.9
    """Greatest mean score, 0..1."""
    min_spread: float = 0.1
    """Least standard deviation of the scores, 0..0.5."""
    max_kept: int | None = None
    """So many of the most unstable ones; None for all."""

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            ValueError: no score is within them.
        """
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(f"quality: expected 0 <= low < high <= 1, found {self.low} and {self.high}")
        if not 0 <= self.min_spread <= 0.5:
            raise ValueError(f"min_spread: expected 0..0.5, found {self.min_spread}")


@dataclass(frozen=True, slots=True)
class Curated:
    """What became of a prompt."""

    outcome: Selection
    num_scored: int
    quality: float | None
    """Mean score, 0..1; None where nothing was scored."""
    instability: float | None
    """Standard deviation of the scores (of the responses at hand, not an estimate for others), 0..0.5."""


def curate(scores: Mapping[str, Sequence[float | None]], box: Box) -> dict[str, Curated]:
    """Judge prompts by the scores of their responses.

    Args:
        scores: by the prompt's id; each in [0, 1], or None where it is unscored.
        box: the bounds of the prompts that are kept.

    Returns:
        What became of each prompt, in the order given.
    """
    found = {name: _judged([score for score in each if score is not None], box) for name, each in scores.items()}
    kept = [name for name, each in found.items() if each.outcome is Selection.KEPT]
    kept.sort(key=lambda name: -(found[name].instability or 0.0))
    for name in kept[box.max_kept :] if box.max_kept is not None else ():
        each = found[name]
        found[name] = Curated(Selection.BEYOND, each.num_scored, each.quality, each.instability)
    return found


def _judged(scores: Sequence[float], box: Box) -> Curated:
    if len(scores) < 2:
        return Curated(Selection.UNSCORED, len(scores), scores[0] if scores else None, None)
    quality, instability = fmean(scores), pstdev(scores)
    if quality < box.low:
        outcome = Selection.HOPELESS
    elif quality > box.high:
        outcome = Selection.SOLVED
    else:
        outcome = Selection.KEPT if instability >= box.min_spread else Selection.STEADY
    return Curated(outcome, len(scores), quality, instability)
