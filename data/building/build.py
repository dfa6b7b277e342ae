"""The three stages' rows from labelled queries, and the pocket world's data set as files.

    runs/pocket/data/    queries.jsonl, images/, sft.jsonl, dpo.jsonl, grpo.jsonl, validation.jsonl, test.jsonl

Every stage gets queries of its own, and DPO and GRPO also tasks that SFT has not seen. Each stage teaches something of
its own (`data/README.md`): SFT the language and what to decide, mostly by traces that hurry; DPO to look, and to claim
nothing false; the reward of GRPO that weighing the risk is worth a call.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Literal

from data.building.assembly import Chunk, Draft, is_assembled
from data.building.example_rows import corrupted_pair, demonstration
from data.corruptions import Example
from data.files.json_lines import write_rows
from data.files.locks import held
from data.pairs.negatives import Draw, LengthLedger, Negative, RiskLedger, balanced, drawn, even, traces
from data.pocket import world
from data.pocket.described import described
from data.pocket.queries.kinds import TRAINING_MIXTURE, TWINS, UNSAFE_SHARE, judging_mixture
from data.prompts import BUILDER, rollout_prompt
from data.rows import PreferencePair, Query, SFTRow
from data.splits import content_key, is_below
from data.synthesis import Way, reference_response
from data.workers import map_in_order
from protocol import Risk
from protocol.plans.prompt import Style
from toolkit.catalogue import fingerprint
from toolkit.planner import Planner, plan_query

FILES = ("queries", "sft", "dpo", "grpo", "validation", "test")
CHUNK_QUERIES = 100
"""Queries that one worker makes at a time, and over which lengths are balanced; changing it changes the data."""
Scenes = Literal["drawn", "described"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many queries each file gets, and what is made of them."""

    sft: int = 3600
    dpo: int = 480
    grpo: int = 480
    validation: int = 500
    test: int = 500
    pairs_per_query: int = 2
    look_share: float = 0.35
    """Part (0..1) of SFT's demonstrations that call every Perception tool they can; the others as few as they can."""
    weigh_share: float = 0.3
    """Part (0..1) of SFT's demonstrations, and of DPO's chosen responses, that call every Reasoning tool they can."""
    unsafe_share: float = UNSAFE_SHARE
    """Part (0..1) of GRPO's prompts that are unsafe."""


PUBLISHED = Sizes(
    sft=6000, dpo=6200, grpo=6000, validation=100, test=1000, pairs_per_query=3, look_share=1.0, weigh_share=1.0
)
"""The shape of SaFeR-ToolKit's data (arXiv 2603.02635): 6k for SFT, 18.6k pairs, 6k for GRPO, and 1k held out."""


def way_of(query: Query, look_share: float, weigh_share: float) -> Way:
    """Return which way the honest response to a query takes; the same query always takes the same."""
    looks = is_below(content_key("looks", query.id), look_share)
    return Way(looks, is_below(content_key("weighs", query.id), weigh_share))


def sft_rows(
    queries: Iterable[Query],
    style: Style,
    planner: Planner = plan_query,
    *,
    look_share: float = 1.0,
    weigh_share: float = 1.0,
) -> Iterator[SFTRow]:
    """Yield one row a query: the honest response, on a way that the two shares (0..1) draw."""
    for query in queries:
        plan = planner(query.text, len(query.images))
        response = reference_response(query, plan, way_of(query, look_share, weigh_share))
        yield demonstration(Example(query, plan, response), style)


def preference_pairs(
    queries: Iterable[Query],
    style: Style,
    *,
    per_query: int,
    seed: int,
    planner: Planner = plan_query,
    draw: Draw = "drawn",
    weigh_share: float = 1.0,
) -> Iterator[PreferencePair]:
    """Yield pairs of the honest response and a corrupted one, `per_query` different corruptions a query.

    `data/pairs/negatives.py` chooses the corruptions; the draws "balanced" and "even" balance over these queries.
    """
    negatives = _drawer(draw)
    for query in queries:
        plan = planner(query.text, len(query.images))
        example = Example(query, plan, reference_response(query, plan, way_of(query, 1.0, weigh_share)))
        rng = Random(f"{seed} {query.id}")
        for number, (name, rejected) in enumerate(negatives(example, per_query, rng)):
            yield corrupted_pair(example, name, rejected, place=str(number), style=style)


def _drawer(draw: Draw) -> Callable[[Example, int, Random], Iterator[Negative]]:
    """Return a draw that balances, where it does, over all examples that it is called with."""
    match draw:
        case "balanced":
            return partial(balanced, ledger=LengthLedger())
        case "even":
            return partial(even, ledger=RiskLedger())
        case "traces":
            return traces
        case "drawn":
            return drawn


def build_pocket(
    folder: Path,
    sizes: Sizes,
    *,
    seed: int,
    style: Style = "compact",
    planner: Planner = plan_query,
    draw: Draw = "traces",
    scenes: Scenes = "drawn",
    jobs: int = 1,
    on_progress: Callable[[int], object] = lambda _: None,
) -> bool:
    """Write the pocket world's rows and pictures; return whether anything had to be written.

    Files that are up to date, by the fingerprints in `built.json`, are left alone. New files are first written to a
    draft folder, which an interrupted call leaves and the next call continues. The bytes do not depend on the number of
    jobs, and memory hardly depends on the sizes.

    Args:
        folder: made where it does not exist; other files in it stay.
        sizes: queries of each file.
        seed: of the queries and of what is drawn for them.
        style: of the prompts.
        planner: chooses the plans; pickled where there are several jobs.
        draw: how the corruptions of the pairs are chosen (`data/pairs/negatives.py`).
        scenes: "drawn" makes pictures; "described" puts them into words, for a text model.
        jobs: processes.
        on_progress: called with the number of queries done since the last call.

    Raises:
        data.pocket.world.WorldError: the world does not have that many queries.
        data.workers.LostItemsError: a process was killed; the same call continues.
        data.files.locks.LockedError: another process is building there.
    """
    wanted = {"builder": BUILDER, "world": world.WORLD_VERSION, "protocol": fingerprint(), "seed": seed, "style": style}
    wanted |= {"sizes": asdict(sizes)}
    if planner is not plan_query:
        wanted["planner"] = repr(planner)
    wanted["draw"] = draw
    if scenes != "drawn":
        wanted["scenes"] = scenes
    with held(folder):
        if is_assembled(folder, wanted):
            return False
        draft = Draft.beside(folder, wanted)
        if not draft.is_complete:
            make = PocketChunks(draft.folder, style, planner, seed, sizes, draw)
            for done in map_in_order(make, _missing(draft, _pocket_chunks(sizes, seed, scenes), on_progress), jobs):
                on_progress(done)
            draft.complete(FILES)
        draft.publish(folder)
    return True


@dataclass(frozen=True, slots=True)
class PocketChunks:
    """Writes the pictures and rows of a chunk of queries into a draft; its rows file last, which marks it as done."""

    draft: Path
    style: Style
    planner: Planner
    seed: int
    sizes: Sizes
    draw: Draw

    def __call__(self, chunk: Chunk[world.PocketQuery]) -> int:
        """Write a chunk; return the number of its queries."""
        queries = [item.query for item in chunk.items]
        world.save(chunk.items, self.draft)
        write_rows(chunk.path(self.draft, "queries"), queries)
        write_rows(chunk.path(self.draft, chunk.file), self._rows(chunk.file, queries))
        return len(queries)

    def _rows(self, file: str, queries: Sequence[Query]) -> Iterable[object]:
        if file == "sft":
            shares = {"look_share": self.sizes.look_share, "weigh_share": self.sizes.weigh_share}
            return sft_rows(queries, self.style, self.planner, **shares)
        if file == "dpo":
            return preference_pairs(
                queries,
                self.style,
                per_query=self.sizes.pairs_per_query,
                seed=self.seed,
                planner=self.planner,
                draw=self.draw,
                weigh_share=self.sizes.weigh_share,
            )
        return (rollout_prompt(query, self.style, self.planner) for query in queries)


def _pocket_chunks(sizes: Sizes, seed: int, scenes: Scenes) -> Iterator[Chunk[world.PocketQuery]]:
    """Yield the queries of every file in order; a chunk is for one file, and is the same for any number of jobs."""
    known: set[str] = set()
    imitated = world.generate("train", sizes.sft, seed, mixture=TRAINING_MIXTURE, known=known, demonstrated=True)
    mended = world.generate("train", sizes.dpo, seed + 1, mixture=TRAINING_MIXTURE, known=known, demonstrated=False)
    mixture = judging_mixture(sizes.unsafe_share)
    judged = world.generate("train", sizes.grpo, seed + 2, mixture=mixture, known=known, demonstrated=False)
    supplies: dict[str, Iterator[world.PocketQuery]] = {
        "sft": imitated,
        "dpo": mended,
        "grpo": interleaved_by_risk(judged),
    }
    supplies |= {split: world.generate(split, getattr(sizes, split), seed) for split in ("validation", "test")}
    number = 0
    for file, supply in supplies.items():
        left = getattr(sizes, file)
        while left:
            items = tuple(islice(supply, min(left, CHUNK_QUERIES)))
            yield Chunk(number, file, items if scenes == "drawn" else tuple(map(described, items)))
            number, left = number + 1, left - len(items)


def interleaved_by_risk(items: Iterable[world.PocketQuery]) -> Iterator[world.PocketQuery]:
    """Yield the queries so that every stretch has its share of harmful and harmless ones, and of every kind.

    A step of GRPO sees few prompts, and a step without unsafe prompts teaches to comply with everything. Kinds that
    only the picture tells apart take turns: two kinds of equal size would otherwise come at the same time.
    """
    by_risk: dict[Risk | None, dict[str, list[world.PocketQuery]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        by_risk[item.query.labels.combined_risk][item.query.kind].append(item)
    yield from _interleaved(_kinds_interleaved(kinds) for kinds in by_risk.values())


def _kinds_interleaved(kinds: Mapping[str, Sequence[world.PocketQuery]]) -> list[world.PocketQuery]:
    twins = _interleaved(items for kind, items in kinds.items() if kind in TWINS)
    return _interleaved([twins, *(items for kind, items in kinds.items() if kind not in TWINS)])


def _interleaved(groups: Iterable[Sequence[world.PocketQuery]]) -> list[world.PocketQuery]:
    placed = [((index + 0.5) / len(group), item) for group in groups for index, item in enumerate(group)]
    return [item for _, item in sorted(placed, key=itemgetter(0))]


def _missing(
    draft: Draft, chunks: Iterable[Chunk[world.PocketQuery]], on_progress: Callable[[int], object]
) -> Iterator[Chunk[world.PocketQuery]]:
    for chunk in chunks:
        pictures = [name for item in chunk.items for name in item.query.images]
        if draft.has(chunk, pictures):
            on_progress(len(chunk.items))
        else:
            yield chunk
