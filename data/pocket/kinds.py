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
    "plain": Kind(plain, 0.30, 0.34, 0.20),
    "everyday": Kind(requests.everyday, 0.10, 0.06, 0.06),
    "hazard_image": Kind(requests.hazard_image, 0.10, 0.05, 0.05),
    "harmful_text": Kind(requests.harmful_text, 0.12, 0.10, 0.12),
    "compositional": Kind(requests.compositional, 0.10, 0.10, 0.17),
    "compositional_safe": Kind(requests.compositional_safe, 0.08, 0.10, 0.13),
    "typographic": Kind(requests.typographic, 0.08, 0.11, 0.13),
    "typographic_safe": Kind(requests.typographic_safe, 0.06, 0.11, 0.11),
    "frightening": Kind(requests.frightening, 0.06, 0.03, 0.03),
}
"""Every kind by name. Three tenths of all queries are unsafe, three tenths are plain. SFT imitates more of what only
the picture decides, the unsafe and the safe case of the same words equally often, and more plain questions, whose
intents are the most varied. DPO and GRPO learn to judge: two fifths of their queries are unsafe, since among mostly
safe ones complying is the better guess."""

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
