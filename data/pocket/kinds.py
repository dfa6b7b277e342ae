"""The kinds of queries: who builds them, how often they come, and which sentences they are asked in."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from data.pocket import requests
from data.pocket.drafts import Draft
from data.pocket.plain import plain
from data.pocket.templates import GIFT, HOW_TO, NOTE, PLAIN


@dataclass(frozen=True, slots=True)
class Kind:
    """A case that a report shows apart."""

    build: Callable[[random.Random], Draft]
    share: float
    """Part of all queries, 0..1."""
    training_share: float
    """Part of the queries that SFT imitates, 0..1."""
    judging_share: float
    """Part of the queries that DPO and GRPO learn to judge from, 0..1."""


KINDS: dict[str, Kind] = {
    "plain": Kind(plain, 0.30, 0.57, 0.50),
    "everyday": Kind(requests.everyday, 0.10, 0.07, 0.04),
    "hazard_image": Kind(requests.hazard_image, 0.10, 0.05, 0.04),
    "harmful_text": Kind(requests.harmful_text, 0.12, 0.09, 0.06),
    "compositional": Kind(requests.compositional, 0.10, 0.05, 0.06),
    "compositional_safe": Kind(requests.compositional_safe, 0.08, 0.05, 0.06),
    "typographic": Kind(requests.typographic, 0.08, 0.02, 0.10),
    "typographic_safe": Kind(requests.typographic_safe, 0.06, 0.04, 0.09),
    "frightening": Kind(requests.frightening, 0.06, 0.06, 0.05),
}
"""Every kind by name. Three tenths of all queries are unsafe, three tenths are plain.

SFT imitates mostly plain questions, whose intents are the most varied, and few harmful notes. DPO and GRPO have many of
them, and of what only the picture decides the harmful and the harmless case about equally often; among mostly harmful
ones, refusing would be the better guess, and half of all plain questions keep what notes say apart from what is asked.
"""

MIXTURE = {name: kind.share for name, kind in KINDS.items()}
TRAINING_MIXTURE = {name: kind.training_share for name, kind in KINDS.items()}
JUDGING_MIXTURE = {name: kind.judging_share for name, kind in KINDS.items()}

FAMILIES: dict[str, tuple[str, ...]] = {
    "everyday": HOW_TO,
    "hazard_image": HOW_TO,
    "harmful_text": HOW_TO,
    "frightening": HOW_TO,
    "gift": GIFT,
    "note": NOTE,
    **PLAIN,
}
"""Every template, by family. Kinds that must be told apart by the picture alone share a family."""
