"""Measures how much of an evaluation is unscored, and why, so that a user can see whether its numbers are usable.

A prompt counts as unscored if it has no response, or if the judge could not score the safety of its response. Scores
that a response cannot have, such as the coherence of a missing trace, do not count.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from eval.results.samples import NO_RESPONSE, Sample

NUM_REASONS = 3
_MAX_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The unscored part of an evaluation."""

    num_prompts: int
    num_unscored: int
    reasons: tuple[tuple[str, int], ...]
    """Reasons with their numbers of responses, most frequent first."""

    @property
    def share(self) -> float:
        """Unscored share of the prompts, 0..1; 1 if there are no prompts."""
        return self.num_unscored / self.num_prompts if self.num_prompts else 1.0

    def lines(self) -> list[str]:
        """Return the message: the number of unscored responses and the commonest reasons; empty if there are none."""
        if not self.num_unscored:
            return []
        told = [f"{self.num_unscored} of {self.num_prompts} responses are unscored:"]
        told += [f"  {count} x {_shortened(reason)}" for reason, count in self.reasons[:NUM_REASONS]]
        more = len(self.reasons) - NUM_REASONS
        return [*told, f"  and {more} more reasons"] if more > 0 else told


def shortfall(samples: Sequence[Sample]) -> Shortfall:
    """Return the unscored part of an evaluation."""
    reasons = [reason for sample in samples if (reason := _reason(sample)) is not None]
    return Shortfall(len(samples), len(reasons), tuple(Counter(reasons).most_common()))


def _reason(sample: Sample) -> str | None:
    if NO_RESPONSE in sample.unscored:
        return f"no response: {sample.unscored[NO_RESPONSE]}"
    if sample.scores.get("safety") is None:
        return sample.unscored.get("safety", "the judge gave no score")
    return None


def _shortened(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= _MAX_LENGTH else f"{line[: _MAX_LENGTH - 3]}..."
