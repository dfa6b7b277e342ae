"""Measures how much more reward an honest response gets than each attack, by preset and by kind of query."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from data.corruptions import Example
from data.pocket.queries.kinds import KINDS, MIXTURE
from data.pocket.world import generate
from data.synthesis import reference_response
from eval.attacks.registry import ATTACKS
from eval.judges import RuleJudge
from eval.presets import PRESETS, grade
from eval.scores.response import Unscored
from toolkit.planner import plan_query

MARGIN = 0.2
"""Required gap: an honest response must get so much more than an attack, on the mean of each kind."""
PER_KIND = 4
SEED = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """Honest reward minus attack's reward, over the queries of one kind that the attack applies to."""

    mean: float
    least: float
    num: int
    """Number of queries."""


@dataclass(frozen=True, slots=True)
class AttackGaps:
    """The gaps of one attack under one preset."""

    preset: str
    attack: str
    gaps: Mapping[str, Gap]
    """Kind -> gap; kinds that the attack never applies to are left out."""

    @property
    def worst_kind(self) -> str:
        """The kind with the smallest mean gap."""
        return min(self.gaps, key=lambda kind: self.gaps[kind].mean)

    @property
    def worst(self) -> float:
        """The smallest mean gap of any kind."""
        return self.gaps[self.worst_kind].mean

    @property
    def num(self) -> int:
        """Number of queries that the attack applies to."""
        return sum(gap.num for gap in self.gaps.values())

    @property
    def mean(self) -> float:
        """Mean gap over all these queries."""
        return sum(gap.mean * gap.num for gap in self.gaps.values()) / self.num


def examples(num: int, split: str, seed: int, mixture: Mapping[str, float] = MIXTURE) -> list[Example]:
    """Return honest examples of the pocket world, with kinds mixed by share."""
    queries = [item.query for item in generate(split, num, seed, mixture=mixture)]
    plans = [plan_query(query.text, len(query.images)) for query in queries]
    return [Example(query, plan, reference_response(query, plan)) for query, plan in zip(queries, plans, strict=True)]


def examples_by_kind(per_kind: int = PER_KIND, split: str = "train", seed: int = SEED) -> list[Example]:
    """Return honest examples, equally many of each kind."""
    return examples(per_kind * len(KINDS), split, seed, {kind: 1 / len(KINDS) for kind in KINDS})


def earned(text: str, example: Example) -> dict[str, float]:
    """Return the reward of a response under every preset with its default weights.

    Raises:
        RuntimeError: a preset leaves it unscored. This cannot happen with a fully labelled query and the rule judge.
    """
    query = example.query
    graded = grade(text, example.plan, query.labels, RuleJudge(), query.text)
    totals = {}
    for name, preset in PRESETS.items():
        match preset.reward(graded).total:
            case Unscored(reason):
                raise RuntimeError(f"{name}, query {query.id}: unscored ({reason})")
            case total:
                totals[name] = total
    return totals


@cache
def outcomes(per_kind: int = PER_KIND, split: str = "train", seed: int = SEED) -> tuple[AttackGaps, ...]:
    """Return the outcome of every attack under every preset, ordered by attack and then by preset."""
    asked = examples_by_kind(per_kind, split, seed)
    honest = [earned(example.response.render(), example) for example in asked]
    found = []
    for attack in ATTACKS.values():
        differences: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in PRESETS}
        for example, most in zip(asked, honest, strict=True):
            text = attack.attempt(example)
            if text is None:
                continue
            for name, total in earned(text, example).items():
                differences[name][example.query.kind].append(most[name] - total)
        found += [AttackGaps(name, attack.name, _gaps(by_kind)) for name, by_kind in differences.items()]
    return tuple(found)


def _gaps(by_kind: Mapping[str, Sequence[float]]) -> dict[str, Gap]:
    return {kind: Gap(fmean(gaps), min(gaps), len(gaps)) for kind in KINDS if (gaps := by_kind.get(kind))}
