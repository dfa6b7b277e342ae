"""Rollouts that are judged before the batch is fixed: low ones corrected, groups without spread sampled afresh.

Groups without spread have no advantages. DAPO (arXiv 2503.14476) samples other prompts until a batch is full of groups
that have; here the rounds are bounded, and the prompts that take a place follow from seed and step, so that a resumed
run sees the same. Nothing here knows TRL.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stages.rollouts.reflection import Judge, Reflection, Response, Sample, Turn
from stages.rollouts.stats import groups_of, has_spread


@dataclass(frozen=True, slots=True)
class Ahead:
    """A batch before TRL sees it."""

    responses: list[Response]
    """Whole groups, one after the other."""
    numbers: dict[str, float]
    """What was done, to be tracked."""


@dataclass(frozen=True, slots=True)
class LookAhead:
    """How a batch is made."""

    group_size: int
    sample: Sample
    judge: Judge
    spare_rows: Callable[[Sequence[dict[str, Any]], int, random.Random], list[dict[str, Any]]]
    """Returns up to so many rows of the modality of some rows that are none of them."""
    reflection: Reflection | None
    num_rounds: int
    """How often groups without spread are sampled afresh; 0 for never."""

    def batch(self, rows: Sequence[dict[str, Any]], random_key: str) -> Ahead:
        """Return a batch for some rows, each of which stands there once a response.

        Args:
            rows: whole groups, one after the other.
            random_key: what decides which rows replace others.
        """
        numbers = {"rollouts/reflected": 0.0, "rollouts/resampled_groups": 0.0}
        groups = self._sampled(rows, numbers)
        tried = list(rows)
        for number in range(self.num_rounds):
            flat = [
                place for place, group in enumerate(groups) if not has_spread([each.judged.reward for each in group])
            ]
            spare = self.spare_rows(tried, len(flat), random.Random(f"{random_key} {number}"))
            places = flat[: len(spare)]
            if not places:
                break
            tried += spare
            numbers["rollouts/resampled_groups"] += len(places)
            fresh = self._sampled([row for row in spare for _ in range(self.group_size)], numbers)
            for place, group in zip(places, fresh, strict=True):
                groups[place] = group
        return Ahead([each for group in groups for each in group], numbers)

    def _sampled(self, rows: Sequence[dict[str, Any]], numbers: dict[str, float]) -> list[Sequence[Response]]:
        turns = [Turn(row, list(row["prompt"]), is_response=True) for row in rows]
        # A prompt alone always fits: rows that are too long are refused before training.
        responses: Sequence[Response] = self.judge(rows, [ids or [] for ids in self.sample(turns)])
        if self.reflection is not None:
            responses, num_tried = self.reflection.correct(responses, self.group_size)
            numbers["rollouts/reflected"] += num_tried
        return groups_of(responses, self.group_size)
