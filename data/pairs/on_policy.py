"""Preference pairs of a policy's own responses: sampled, scored, and paired where the scores are far enough apart.

Pure functions over scored responses; `stages/cli/rows/generated/pairs.py` samples and scores. Corruptions teach what is
wrong in principle, these pairs what this policy gets wrong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from data.pairs.negatives import LengthLedger
from data.rows import PreferencePair, RolloutPrompt

ON_POLICY = "on_policy"
"""Replaces a corruption's name in pairs of sampled responses, whose chosen response need not be perfect."""
_NEAR_BEST = 0.8
"""Part of a prompt's widest gap from which on a pair may be chosen for its lengths."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A sampled response and what it is worth."""

    text: str
    score: float | None
    """In [0, 1]; None is unscored, and is never paired."""
    codes: tuple[str, ...]
    """The diagnostics of the response under its plan and labels, sorted."""
    is_valid: bool
    """Whether none of them is of structure, typing or graph; only a valid response may be chosen."""


def pairs_by_score(
    prompt: RolloutPrompt,
    responses: Sequence[Scored],
    *,
    min_gap: float,
    max_pairs: int = 1,
    ledger: LengthLedger | None = None,
) -> Iterator[PreferencePair]:
    """Yield pairs of responses to one prompt whose scores differ by `min_gap` or more; no response is in two.

    Of the pairs nearly as far apart as the farthest, the one that best balances the lengths so far comes first.

    Args:
        prompt: what was responded to.
        responses: samples; equal texts count once.
        min_gap: least difference of the scores, above 0.
        max_pairs: most pairs of the prompt.
        ledger: lengths of the pairs so far, over any prompts; kept up to date.

    Raises:
        ValueError: `min_gap` is not above 0.
    """
    if min_gap <= 0:
        raise ValueError(f"min_gap: expected a number above 0, found {min_gap}")
    ledger = ledger or LengthLedger()
    left = list({each.text: each for each in responses if each.score is not None}.values())
    for number in range(max_pairs):
        apart = [
            (better, worse)
            for better, worse in product(left, left)
            if better.is_valid and _gap(better, worse) >= min_gap
        ]
        if not apart:
            return
        widest = max(_gap(*pair) for pair in apart)
        near_best = [pair for pair in apart if _gap(*pair) >= _NEAR_BEST * widest]
        chosen, rejected = min(
            near_best,
            key=lambda pair: (ledger.imbalance_with(_longer(*pair)), -_gap(*pair), pair[0].text, pair[1].text),
        )
        ledger.add(_longer(chosen, rejected))
        left = [each for each in left if each not in {chosen, rejected}]
        yield _pair(prompt, number, chosen, rejected)


def _gap(better: Scored, worse: Scored) -> float:
    return (better.score or 0.0) - (worse.score or 0.0)


def _longer(better: Scored, worse: Scored) -> int:
    return len(worse.text) - len(better.text)


def _pair(prompt: RolloutPrompt, number: int, chosen: Scored, rejected: Scored) -> PreferencePair:
    return PreferencePair(
        id=f"pair-{prompt.id}-{number}",
        query_id=prompt.query_id,
        kind=prompt.kind,
        split=prompt.split,
        prompt=prompt.prompt,
        chosen=({"role": "assistant", "content": chosen.text},),
        rejected=({"role": "assistant", "content": rejected.text},),
        images=prompt.images,
        plan=prompt.plan,
        corruption=ON_POLICY,
        expected_codes=rejected.codes,
        provenance=prompt.provenance,
    )
