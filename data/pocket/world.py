"""The pocket world: a deterministic generator of labelled queries about drawn pictures.

`generate` yields queries of a split, `draw` makes a picture, `save` writes the pictures. The test split has its own
templates and its own pairs of words, and so has the validation split. A query belongs to one of them if its template or
one of its pairs does. A query that would belong to both is never generated. So the split follows from the query alone,
whatever the seed and the count.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from data.pocket.distractors import distractors_of
from data.pocket.pairs import PAIRS, Pair, task_of
from data.pocket.pictures.drawing import draw
from data.pocket.pictures.scenes import Scene
from data.pocket.queries.drafts import PocketDraft
from data.pocket.queries.kinds import FAMILIES, KINDS, MIXTURE
from data.rows import Provenance, Query
from data.splits import content_key, held_out
from protocol.errors import UserError

__all__ = [
    "SPLITS",
    "PocketQuery",
    "WorldError",
    "draw",
    "generate",
    "held_out_tasks",
    "save",
    "split_of",
    "split_of_pair",
    "split_of_template",
]

WORLD_VERSION = "10"
SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 0.25
"""Share of the templates of each family, and of the pairs of each group, that is held out for the test split."""
VALIDATION_SHARE = 0.2
"""Share of the remaining ones that is held out for the validation split. Every choice is made on validation."""
UNSHOWN_SHARE = 0.25
"""Share of the training pairs of a divided group that SFT never demonstrates; DPO and GRPO have only these pairs."""
DIVIDED_GROUPS = frozenset({"everyday", "hazard", "kindness", "harm", "gift", "danger"})
"""The groups of pairs that decide what is safe. Frightening requests have too few pairs to divide."""
MAX_MISSES = 2000
"""A kind counts as used up after this many useless drafts in a row: of another split, or known already."""


class WorldError(UserError):
    """The request names an unknown split, or more queries than there are."""


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
    demonstrated: bool | None = None,
) -> Iterator[PocketQuery]:
    """Yield `count` different queries of a split, with kinds mixed by share; the same arguments yield the same queries.

    Args:
        split: one of SPLITS.
        count: number of queries.
        seed: seed of the random numbers.
        mixture: share of each kind, 0..1; the shares sum to 1.
        known: identities of queries that must not be yielded; the identities of yielded queries are added.
        demonstrated: for training queries. True yields queries whose pairs SFT demonstrates; False yields queries with
            the other pairs, for DPO and GRPO; None yields both. A query without a pair that decides what is safe is
            in both.

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
        yield _draw_query(rng, kind, split, known, demonstrated)


def save(items: Iterable[PocketQuery], folder: Path) -> None:
    """Write the picture of every query that has one to the path in its `images`, relative to `folder`."""
    for item in items:
        for path in (folder / name for name in item.query.images):
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(item.scene).save(path, format="PNG")


def split_of(draft: PocketDraft) -> str | None:
    """Return the split of a draft; None if it would belong to both held-out splits."""
    found = {split_of_pair(pair) for pair in draft.pairs} | {split_of_template(draft.family, draft.template)}
    held = found - {"train"}
    if len(held) > 1:
        return None
    return held.pop() if held else "train"


def split_of_pair(pair: Pair) -> str:
    """Return the one split that uses a pair of words."""
    return _pair_splits()[pair.group, pair.key]


def split_of_template(family: str, template: str) -> str:
    """Return the one split that uses a template."""
    return _template_splits()[family, template]


def held_out_tasks() -> frozenset[str]:
    """Return every task, such as "hit the road", whose pair of words never occurs in training."""
    pairs = (Pair(group, words) for group, members in PAIRS.items() for words in members)
    return frozenset(task_of(pair) for pair in pairs if split_of_pair(pair) != "train")


def _draw_query(rng: random.Random, kind: str, split: str, known: set[str], demonstrated: bool | None) -> PocketQuery:
    build = KINDS[kind].build_taught if demonstrated is not None else None
    build = build or KINDS[kind].build
    for _ in range(MAX_MISSES):
        draft = build(rng)
        identity = _identity(draft)
        if identity not in known and split_of(draft) == split and _is_wanted(draft, demonstrated):
            known.add(identity)
            return _finished(draft, identity, split)
    raise WorldError(f"count: the {split} split has no more different queries of kind {kind!r}; ask for fewer rows")


def _is_wanted(draft: PocketDraft, demonstrated: bool | None) -> bool:
    deciding = [pair for pair in draft.pairs if pair.group in DIVIDED_GROUPS and draft.kind != "plain"]
    if demonstrated is None or not deciding:
        return True
    return demonstrated is not any(pair.key in _unshown_pairs()[pair.group] for pair in deciding)


def _finished(draft: PocketDraft, identity: str, split: str) -> PocketQuery:
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


def _identity(draft: PocketDraft) -> str:
    return content_key(draft.text, *draft.scene.content)


def _quotas(count: int, mixture: Mapping[str, float]) -> dict[str, int]:
    """Return the number of queries of each kind, which sum up to `count`, by largest remainder."""
    exact = {name: share * count for name, share in mixture.items()}
    quotas = Counter({kind: int(value) for kind, value in exact.items()})
    by_remainder = sorted(exact, key=lambda kind: quotas[kind] - exact[kind])
    quotas.update(by_remainder[: count - quotas.total()])
    return dict(quotas)


@cache
def _template_splits() -> dict[tuple[str, str], str]:
    """Return the split of every template, by family and template."""
    return {(family, frame): split for family, frames in FAMILIES.items() for frame, split in _divided(family, frames)}


@cache
def _pair_splits() -> dict[tuple[str, str], str]:
    """Return the split of every pair, by group and key."""
    keys = {group: [Pair(group, words).key for words in pairs] for group, pairs in PAIRS.items()}
    return {(group, key): split for group, members in keys.items() for key, split in _divided(group, members)}


def _divided(group: str, items: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each item with the one split that uses it."""
    test = held_out(items, group=group, share=HELD_OUT_SHARE)
    left = [each for each in items if each not in test]
    validation = held_out(left, group=f"{group} tune", share=VALIDATION_SHARE)
    for item in items:
        yield item, "test" if item in test else "validation" if item in validation else "train"


@cache
def _unshown_pairs() -> dict[str, frozenset[str]]:
    keys = {group: [Pair(group, words).key for words in PAIRS[group]] for group in DIVIDED_GROUPS}
    trained = {group: [key for key in keys[group] if _pair_splits()[group, key] == "train"] for group in keys}
    return {group: held_out(left, group=f"shown {group}", share=UNSHOWN_SHARE) for group, left in trained.items()}
