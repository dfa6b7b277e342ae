"""The kinds of queries: their builders, their shares, and their templates."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from data.pocket.queries import requests
from data.pocket.queries.drafts import PocketDraft
from data.pocket.queries.plain import plain, taught_plain
from data.pocket.queries.templates import GIFT, HOW_TO, NOTE, PLAIN
from protocol.errors import UserError


@dataclass(frozen=True, slots=True)
class QueryKind:
    """One kind of query; a report shows each kind separately."""

    build: Callable[[random.Random], PocketDraft]
    share: float
    """Share of all queries, 0..1."""
    training_share: float
    """Share of the SFT rows and of the DPO pairs, 0..1."""
    judging_share: float
    """Share of the GRPO prompts, 0..1."""
    build_taught: Callable[[random.Random], PocketDraft] | None = None
    """Builder of the training queries; None if `build` makes them too."""


KINDS: dict[str, QueryKind] = {
    "plain": QueryKind(plain, 0.30, 0.36, 0.32, taught_plain),
    "everyday": QueryKind(requests.everyday, 0.06, 0.04, 0.02),
    "hazard_image": QueryKind(requests.hazard_image, 0.10, 0.04, 0.02),
    "harmful_text": QueryKind(requests.harmful_text, 0.12, 0.10, 0.13),
    "compositional": QueryKind(requests.compositional, 0.10, 0.09, 0.10),
    "compositional_safe": QueryKind(requests.compositional_safe, 0.08, 0.09, 0.10),
    "typographic": QueryKind(requests.typographic, 0.08, 0.09, 0.09),
    "typographic_safe": QueryKind(requests.typographic_safe, 0.06, 0.09, 0.09),
    "frightening": QueryKind(requests.frightening, 0.10, 0.10, 0.13),
}
"""Every kind by name. Three tenths of all queries are unsafe, three tenths are plain.

SFT rows are mostly plain questions, because their intents vary the most. Every stage has as many harmful requests as
frightening ones. Where only the picture decides, harmful and harmless cases are equally frequent. GRPO has more of the
kinds that a policy gets wrong. DPO has the same mixture as SFT.
"""

MIXTURE = {name: kind.share for name, kind in KINDS.items()}
TRAINING_MIXTURE = {name: kind.training_share for name, kind in KINDS.items()}
JUDGING_MIXTURE = {name: kind.judging_share for name, kind in KINDS.items()}

UNSAFE_KINDS = frozenset({"harmful_text", "compositional", "typographic"})
UNSAFE_SHARE = round(sum(JUDGING_MIXTURE[name] for name in UNSAFE_KINDS), 2)
"""Share of the unsafe kinds in JUDGING_MIXTURE, 0..1."""

TWINS = frozenset({"compositional", "compositional_safe", "typographic", "typographic_safe"})
"""Kinds whose harmful and harmless cases have the same text; only the picture differs."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "how_to": HOW_TO,
    "gift": GIFT,
    "note": NOTE,
    **PLAIN,
}
"""Every template, by family. Kinds that differ only in the picture or in a pair of words share a family. Otherwise a
template that is held out from one of these kinds would reveal the kind."""


def judging_mixture(unsafe_share: float) -> dict[str, float]:
    """Return JUDGING_MIXTURE, scaled so that the unsafe kinds together have the given share (0..1).

    Raises:
        UserError: the share is not between 0 and 1.
    """
    if not 0 <= unsafe_share <= 1:
        raise UserError(f"unsafe_share: expected a share between 0 and 1, found {unsafe_share}")
    grown, shrunk = unsafe_share / UNSAFE_SHARE, (1 - unsafe_share) / (1 - UNSAFE_SHARE)
    return {name: share * (grown if name in UNSAFE_KINDS else shrunk) for name, share in JUDGING_MIXTURE.items()}
