"""The pocket world: an endless, deterministic supply of labelled queries over drawn pictures.

`generate` yields queries of a split, `draw` makes a picture, `save` writes the pictures. A query belongs to
the test split if its template or a pair of its words is held out; train and validation use neither, and are
told apart by a hash of what is asked about which picture. So the split is a fact about a query, whatever
the seed and count.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from data.pocket.distractors import distractors_of
from data.pocket.drafts import Draft
from data.pocket.drawing import draw
from data.pocket.kinds import FAMILIES, KINDS, MIXTURE
from data.pocket.pairs import PAIRS, Pair, task_of
from data.pocket.scenes import Scene
from data.rows import Provenance, Query
from data.splits import content_key, held_out, is_below
from protocol.errors import UserError

__all__ = ["SPLITS", "PocketQuery", "WorldError", "draw", "generate", "held_out_tasks", "save", "split_of"]

WORLD_VERSION = "9"
SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 0.25
"""Share of the templates of each family, and of the pairs of each group, that only the test split uses."""
VALIDATION_SHARE = 0.1
"""Share of the queries outside the test split."""
UNSHOWN_SHARE = 0.35
"""Share of the pairs of a deciding group, outside those of the test split, that SFT is not shown."""
DECIDING_GROUPS = frozenset({"everyday", "hazard", "kindness", "harm", "idiom", "photo", "gift", "danger"})
"""The groups of pairs that decide what is safe."""
WITHHELD_GROUPS = frozenset({"idiom", "photo"})
"""The deciding groups of which SFT is shown no pair, not on a note either: verbs of harm that do none."""
MAX_MISSES = 2000
"""Drafts in a row that are of another split or known before a kind counts as used up."""


class WorldError(UserError):
    """The world was asked for what it does not have."""


@dataclass(frozen=True, slots=True)
class PocketQuery:
    """A query with the scene behind its picture."""

    query: Query
    scene: Scene


def generate(
    split: str,
    count: int,
    seed: int,
    *,
    mixture: Mapping[str, float] = MIXTURE,
    known: set[str] | None = None,
    shown: bool | None = None,
) -> Iterator[PocketQuery]:
    """Yield `count` different queries of a split, kinds mixed by share; the same arguments yield the same ones.

    Args:
        split: one of SPLITS.
        count: how many.
        seed: of what is drawn.
        mixture: part of each kind, 0..1; together 1.
        known: identities of queries that are not to come again; those that are yielded are added.
        shown: for queries to train on. True leaves out what SFT is not shown, False what it is: what DPO and GRPO then
            judge, nobody has demonstrated. Queries without a pair that decides what is safe are in both.

    Raises:
        WorldError: an unknown split, or more queries than the split has of some kind.
    """
    if split not in SPLITS:
        raise WorldError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
    rng = random.Random(f"{split} {seed}")
    kinds = [kind for kind, quota in _quotas(count, mixture).items() for _ in range(quota)]
    rng.shuffle(kinds)
    known = set() if known is None else known
    for kind in kinds:
        yield _draw_query(rng, kind, split, known, shown)


def save(items: Iterable[PocketQuery], folder: Path) -> None:
    """Write the picture of every query that has one to the path in its `images`, relative to `folder`."""
    for item in items:
        for path in (folder / name for name in item.query.images):
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(item.scene).save(path, format="PNG")


def split_of(draft: Draft) -> str:
    """Return the split a draft belongs to."""
    has_held_pair = any(pair.key in _held_pairs()[pair.group] for pair in draft.pairs)
    if has_held_pair or draft.template in _held_templates()[draft.family]:
        return "test"
    return "validation" if is_below(_identity(draft), VALIDATION_SHARE) else "train"


def held_out_tasks() -> frozenset[str]:
    """Return every task, such as "hit the road", whose pair of words only the test split uses."""
    return frozenset(
        task_of(Pair(group, words))
        for group, pairs in PAIRS.items()
        for words in pairs
        if Pair(group, words).key in _held_pairs()[group]
    )


def _draw_query(rng: random.Random, kind: str, split: str, known: set[str], shown: bool | None) -> PocketQuery:
    build = KINDS[kind].build_taught if shown is not None else None
    build = build or KINDS[kind].build
    for _ in range(MAX_MISSES):
        draft = build(rng)
        identity = _identity(draft)
        if identity not in known and split_of(draft) == split and _is_wanted(draft, shown):
            known.add(identity)
            return _finished(draft, identity, split)
    raise WorldError(f"count: the {split} split has no more different queries of kind {kind!r}; ask for fewer rows")


def _is_wanted(draft: Draft, shown: bool | None) -> bool:
    groups = WITHHELD_GROUPS if draft.kind == "plain" else DECIDING_GROUPS  # a note is read, whatever it says
    deciding = [pair for pair in draft.pairs if pair.group in groups]
    if shown is None or not deciding:
        return True
    return shown is not any(pair.key in _unshown_pairs()[pair.group] for pair in deciding)


def _finished(draft: Draft, identity: str, split: str) -> PocketQuery:
    name = f"pocket-{identity[:16]}"
    query = Query(
        id=name,
        text=draft.text,
        kind=draft.kind,
        split=split,
        images=(f"images/{name}.png",),
        labels=replace(draft.labels, distractors=distractors_of(draft.labels, draft.answers)),
        answers=draft.answers,
        intent=draft.intent,
        setting=draft.scene.setting,
        provenance=Provenance("pocket", "Apache-2.0", f"data.pocket.world {WORLD_VERSION}"),
    )
    return PocketQuery(query, draft.scene)


def _identity(draft: Draft) -> str:
    return content_key(draft.text, *draft.scene.content)


def _quotas(count: int, mixture: Mapping[str, float]) -> dict[str, int]:
    """Return how many queries of each kind sum up to `count`, by largest remainder."""
    exact = {name: share * count for name, share in mixture.items()}
    quotas = Counter({kind: int(value) for kind, value in exact.items()})
    by_remainder = sorted(exact, key=lambda kind: quotas[kind] - exact[kind])
    quotas.update(by_remainder[: count - quotas.total()])
    return dict(quotas)


@cache
def _held_templates() -> dict[str, frozenset[str]]:
    return {family: held_out(frames, group=family, share=HELD_OUT_SHARE) for family, frames in FAMILIES.items()}


@cache
def _held_pairs() -> dict[str, frozenset[str]]:
    keys = {group: [" + ".join(words) for words in pairs] for group, pairs in PAIRS.items()}
    return {group: held_out(items, group=group, share=HELD_OUT_SHARE) for group, items in keys.items()}


@cache
def _unshown_pairs() -> dict[str, frozenset[str]]:
    left = {
        group: [" + ".join(words) for words in PAIRS[group] if " + ".join(words) not in _held_pairs()[group]]
        for group in DECIDING_GROUPS
    }
    chosen = {group: held_out(keys, group=f"shown {group}", share=UNSHOWN_SHARE) for group, keys in left.items()}
    return chosen | {group: frozenset(left[group]) for group in WITHHELD_GROUPS}
