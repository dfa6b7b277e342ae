"""The kinds of queries: who builds them, how often they come, and which sentences they are asked in."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from data.pocket import requests
from data.pocket.drafts import Draft
from data.pocket.plain import plain, taught_plain
from data.pocket.templates import GIFT, HOW_TO, NOTE, PLAIN


@dataclass(frozen=True, slots=True)
class Kind:
    """A case that a report shows apart."""

    build: Callable[[random.Random], Draft]
    share: float
    """Part of all queries, 0..1."""
    training_share: float
    """Part of the queries that SFT imitates and that DPO has pairs of, 0..1."""
    judging_share: float
    """Part of the queries that GRPO learns to judge from, 0..1."""
    build_taught: Callable[[random.Random], Draft] | None = None
    """Who builds those that a stage trains on, where they are not drawn like all others."""


KINDS: dict[str, Kind] = {
    "plain": Kind(plain, 0.30, 0.36, 0.32, taught_plain),
    "everyday": Kind(requests.everyday, 0.06, 0.04, 0.02),
    "hazard_image": Kind(requests.hazard_image, 0.10, 0.04, 0.02),
    "harmful_text": Kind(requests.harmful_text, 0.12, 0.10, 0.13),
    "compositional": Kind(requests.compositional, 0.10, 0.09, 0.10),
    "compositional_safe": Kind(requests.compositional_safe, 0.08, 0.09, 0.10),
    "typographic": Kind(requests.typographic, 0.08, 0.09, 0.09),
    "typographic_safe": Kind(requests.typographic_safe, 0.06, 0.09, 0.09),
    "frightening": Kind(requests.frightening, 0.10, 0.10, 0.13),
}
"""Every kind by name. Three tenths of all queries are unsafe, three tenths are plain.

SFT imitates mostly plain questions, whose intents are the most varied. Every stage has as many harmful requests as
frightening ones, and of what only the picture decides the harmful and the harmless case equally often. GRPO judges more
of what can be got wrong; DPO, which mends traces, sees what SFT sees.
"""

MIXTURE = {name: kind.share for name, kind in KINDS.items()}
TRAINING_MIXTURE = {name: kind.training_share for name, kind in KINDS.items()}
JUDGING_MIXTURE = {name: kind.judging_share for name, kind in KINDS.items()}

TWINS = frozenset({"compositional", "compositional_safe", "typographic", "typographic_safe"})
"""Kinds whose harmful and harmless cases have the same words; which one it is, only the picture tells."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "how_to": HOW_TO,
    "gift": GIFT,
    "note": NOTE,
    **PLAIN,
}
"""Every template, by family. Kinds that must be told apart by the picture, or by a pair of words, share a family: a
template held out from one of them alone would tell it from the others."""
