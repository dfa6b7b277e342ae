"""Counts of a judge: items, requests and tokens. The counts add up."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from eval.judges.judgement import Judgement
from eval.scores.response import Unscored
from toolkit.chat.usage import Usage


@dataclass(slots=True)
class JudgeTally(Usage):
    """Counts since the judge was created; `num_items` is `num_scored` plus `num_unscored`."""

    num_items: int = 0
    num_scored: int = 0
    num_unscored: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason -> number of questions that are unscored for it."""

    def count(self, judgements: Iterable[Judgement]) -> None:
        """Count the judgements of a batch."""
        for judgement in judgements:
            self.num_items += 1
            is_unscored = isinstance(judgement.safety, Unscored)
            self.num_unscored += is_unscored
            self.num_scored += not is_unscored

    def to_json(self) -> dict[str, Any]:
        """Return the counts by name."""
        return asdict(self)

    def describe(self) -> list[str]:
        """Return the counts as lines, with the most frequent reasons at the end."""
        counts = (
            f"judged {self.num_items} responses: {self.num_scored} scored, {self.num_unscored} unscored; "
            f"{self.num_questions} questions, {self.num_cached} answered by the cache; {self.num_requests} requests, "
            f"{self.prompt_tokens} + {self.completion_tokens} tokens spent, {self.saved_tokens} saved"
        )
        return [
            counts,
            *(f"unscored {times} times: {reason}" for reason, times in self.reasons.most_common(5)),
        ]
