"""Judges rollouts before the batch is final: low ones are corrected, and groups without spread are resampled.

A group without spread (equal rewards) has no advantages. DAPO (arXiv 2503.14476) samples other prompts until all groups
of a batch have spread. Here the number of rounds is limited. The replacing prompts follow from seed and step, so that a
resumed run gets the same ones. This module does not depend on TRL.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stages.rollouts.record.stats import groups_of, has_spread
from stages.rollouts.reflection import JudgedResponse, JudgeResponses, Reflection, SampleTurns, Turn


@dataclass(frozen=True, slots=True)
class Ahead:
    """A batch, ready for TRL."""

    responses: list[JudgedResponse]
    """Complete groups, one after another."""
    numbers: dict[str, float]
    """Counts to track."""


@dataclass(frozen=True, slots=True)
class LookAhead:
    """Makes batches."""

    group_size: int
    sample: SampleTurns
    judge: JudgeResponses
    spare_rows: Callable[[Sequence[dict[str, Any]], int, random.Random], list[dict[str, Any]]]
    """Returns up to `count` other rows of the same modality as the given rows."""
    reflection: Reflection | None
    num_rounds: int
    """Number of rounds of resampling; 0 disables it."""

    def batch(self, rows: Sequence[dict[str, Any]], random_key: str) -> Ahead:
        """Return a batch for rows; each row is repeated for every response.

        Args:
            rows: complete groups, one after another.
            random_key: seed for the choice of replacing rows.
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

    def _sampled(self, rows: Sequence[dict[str, Any]], numbers: dict[str, float]) -> list[Sequence[JudgedResponse]]:
        turns = [Turn(row, list(row["prompt"]), is_response=True) for row in rows]
        # A prompt alone always fits: overlong rows are an error before training.
        responses: Sequence[JudgedResponse] = self.judge(rows, [ids or [] for ids in self.sample(turns)])
        if self.reflection is not None:
            responses, num_tried = self.reflection.correct(responses, self.group_size)
            numbers["rollouts/reflected"] += num_tried
        return groups_of(responses, self.group_size)
