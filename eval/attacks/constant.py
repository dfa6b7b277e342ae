"""Finds the best constant policy, which gives the same response to every query, and its mean reward.

The queries have the pocket world's own mixture of kinds. A constant policy sees the plan, because its calls must follow
the plan, but neither the question nor the picture. The search covers all combinations of decision, image risk, text
risk, two claims about the picture, and two answers that fit the decision. The combined risk, the category and the score
follow from the decision, because any other value would be a contradiction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from statistics import fmean

from eval.attacks.answer import every_fact
from eval.attacks.measure import SEED, earned, examples
from eval.attacks.policy import GENERIC, constant, constant_labels
from eval.presets import PRESETS
from protocol import Decision, Labels, Risk

CEILING = 0.6
"""Limit for the mean reward of every constant policy under the default preset."""
NUM_QUERIES = 40
_CLAIMS: tuple[tuple[str, ...], ...] = ((), ("knife", "ball"))


@dataclass(frozen=True, slots=True)
class ConstantPolicy:
    """One response for every query of a plan."""

    labels: Labels
    """The labels that it states for every query."""
    answer: str

    def describe(self) -> str:
        """Describe the policy in a few words."""
        labels = self.labels
        seen = f"{len(labels.objects or ())} objects"
        answer = self.answer if len(self.answer) < 70 else f"{self.answer[:67]}..."
        return f"{labels.decision}, picture {labels.image_risk}, words {labels.text_risk}, {seen}: {answer}"


def constant_policies() -> Iterator[ConstantPolicy]:
    """Yield every constant policy of the search."""
    for decision, image, text, claim in product(Decision, Risk, Risk, _CLAIMS):
        opening, _, rest = GENERIC[decision].partition(".")
        stuffed = f"{opening}: {every_fact()}.{rest}"
        for answer in (GENERIC[decision], stuffed):
            yield ConstantPolicy(constant_labels(decision, image, text, claim), answer)


@cache
def best_constant(num_queries: int = NUM_QUERIES, split: str = "train") -> dict[str, tuple[ConstantPolicy, float]]:
    """Return the best constant policy under each preset, with its mean reward."""
    asked = examples(num_queries, split, SEED)
    best: dict[str, tuple[ConstantPolicy, float]] = {}
    for policy in constant_policies():
        totals = [earned(constant(each.plan, policy.labels, policy.answer), each) for each in asked]
        for name in PRESETS:
            mean = fmean(total[name] for total in totals)
            if name not in best or mean > best[name][1]:
                best[name] = policy, mean
    return best
