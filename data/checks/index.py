"""What is only visible across rows: ids used twice, duplicates, near duplicates, and queries on two sides.

Memory grows by about a kilobyte a different query, whatever the size of its rows and images. Exact copies are found by
digests as rows come; near ones at the end, among the different queries: word n-grams by MinHash and banded buckets
(`rensa`), then by their exact Jaccard similarity, and pictures by `data.checks.pictures`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rensa import RMinHash, RMinHashLSH

from data.checks.facts import Facts, Fault, ImageFact, RowFaultName
from data.checks.pictures import HASH_BITS, is_near, look_alike
from data.pictures.images import ImageError
from data.splits import content_key

MIN_JACCARD = 0.8
"""Least share of common word n-grams for two texts to be nearly the same."""
NGRAM = 3
_PERMUTATIONS, _BANDS = 128, 32
_HASH_BANDS = 16
"""Hashes that differ in fewer bits than there are bands agree in one band at least."""
_MAX_COMPARED = 200
"""Most queries with alike hashes that a query is compared with, so that many blank pictures cost bounded time."""

Place = tuple[str, int]
"""File and line."""


@dataclass(slots=True)
class Asked:
    """One different query: words and pictures."""

    words: str
    images: tuple[ImageFact, ...]
    root: Path
    places: dict[str, list[Place]] = field(default_factory=dict)
    """Where it stands, by side: a split, or the name of an evaluation set."""


@dataclass(frozen=True, slots=True)
class SharedFault:
    """A fault that several rows make together."""

    file: str
    line: int
    fault: Fault


class Index:
    """Everything seen so far."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[bytes, int]] = defaultdict(dict)
        self._contents: dict[str, dict[bytes, int]] = defaultdict(dict)
        self._kinds: dict[str, str] = {}
        self._asked: dict[bytes, Asked] = {}
        self._sets: set[str] = set()

    @property
    def num_queries(self) -> int:
        """How many different queries there are."""
        return len(self._asked)

    def add(self, facts: Facts, root: Path) -> Iterator[Fault]:
        """Take in a judged row; yield its faults in relation to earlier rows of its file."""
        first = self._kinds.setdefault(facts.file, facts.kind)
        if facts.kind != first:
            yield Fault(RowFaultName.OTHER_KIND, f"a {facts.kind} row in a file that begins with {first} rows")
        line = self._ids[facts.file].setdefault(_digest(facts.id), facts.line)
        if line != facts.line:
            yield Fault(RowFaultName.DUPLICATE_ID, f"the id {facts.id!r} is that of line {line}")
        line = self._contents[facts.file].setdefault(facts.content, facts.line)
        if line != facts.line:
            yield Fault(RowFaultName.DUPLICATE, f"the same as line {line}: words, images, plan and responses")
        self._ask(facts.words, facts.images, root).places.setdefault(facts.split, []).append((facts.file, facts.line))

    def add_evaluation(self, name: str, words: str, images: tuple[ImageFact, ...], root: Path, place: Place) -> None:
        """Take in a query of a named evaluation set."""
        self._sets.add(name)
        self._ask(words, images, root).places.setdefault(name, []).append(place)

    def _ask(self, words: str, images: tuple[ImageFact, ...], root: Path) -> Asked:
        key = _digest(words, *(image.digest.hex() for image in images))
        return self._asked.setdefault(key, Asked(words, images, root))

    def leaks(self) -> Iterator[SharedFault]:
        """Yield the rows whose query is also on another side; between train and a held-out side, those of train."""
        for asked in self._asked.values():
            for own, other in _sides(asked, asked, self._sets):
                place = _shown(asked.places[other][0])
                yield from _at(asked.places[own], RowFaultName.LEAK, f"the same query is in {other}, {place}")

    def near(self) -> Iterator[SharedFault]:
        """Yield the rows whose query nearly equals another: on another side a leak, on its own a near duplicate."""
        for one, other in self._near_pairs():
            leaks = list(_sides(one, other, self._sets))
            for own, against in leaks:
                holder, target = (one, other) if own in one.places and against in other.places else (other, one)
                place = _shown(target.places[against][0])
                yield from _at(holder.places[own], RowFaultName.LEAK, f"nearly the same query is in {against}, {place}")
            if not leaks and (same := (one.places.keys() & other.places.keys()) - self._sets):
                side = min(same)
                message = f"nearly the same query as {_shown(one.places[side][0])}"
                yield from _at(other.places[side][:1], RowFaultName.NEAR_DUPLICATE, message)

    def _near_pairs(self) -> Iterator[tuple[Asked, Asked]]:
        by_words: dict[str, list[Asked]] = defaultdict(list)
        for asked in self._asked.values():
            by_words[asked.words].append(asked)
        texts = list(by_words)
        for group in by_words.values():
            yield from _alike(group, [])
            yield from _words_alone(group, self._sets)
        for one, other in near_texts(texts):
            yield from _alike(by_words[texts[one]], by_words[texts[other]])
            alone = _words_alone([*by_words[texts[one]], *by_words[texts[other]]], self._sets)
            yield from (pair for pair in alone if pair[0].words != pair[1].words)  # those of one text are told above


def near_texts(texts: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of places of different texts whose Jaccard similarity is at least `MIN_JACCARD`."""
    index = RMinHashLSH(threshold=MIN_JACCARD, num_perm=_PERMUTATIONS, num_bands=_BANDS)
    for place, text in enumerate(texts):
        grams = ngrams(text)
        if not grams:
            continue
        sketch = RMinHash(num_perm=_PERMUTATIONS, seed=1)
        sketch.update(sorted(grams))
        for other in sorted(index.query(sketch)):
            theirs = ngrams(texts[other])
            if len(grams & theirs) >= MIN_JACCARD * len(grams | theirs):
                yield other, place
        index.insert(place, sketch)


def ngrams(text: str) -> set[str]:
    """Return the word n-grams of a text; of one with fewer words, the text itself.

    >>> sorted(ngrams("a b c d"))
    ['a b c', 'b c d']
    """
    words = text.split()
    return {" ".join(words[start : start + NGRAM]) for start in range(max(1, len(words) - NGRAM + 1))} - {""}


def _alike(ones: list[Asked], others: list[Asked]) -> Iterator[tuple[Asked, Asked]]:
    """Yield the pairs, within a group or across two with alike words, whose pictures are alike or who have none."""
    buckets: dict[tuple[int, int, int], list[tuple[bool, Asked]]] = defaultdict(list)
    for is_other, asked in [*((False, each) for each in ones), *((True, each) for each in others)]:
        met: set[int] = set()
        for key in _bands(asked.images):
            bucket = buckets[key]
            for is_candidate_other, candidate in bucket[:_MAX_COMPARED]:
                is_across = not others or is_other != is_candidate_other
                if is_across and id(candidate) not in met:
                    met.add(id(candidate))
                    if _look_alike(candidate, asked):
                        yield candidate, asked
            bucket.append((is_other, asked))


def _words_alone(group: list[Asked], sets: set[str]) -> Iterator[tuple[Asked, Asked]]:
    """Yield each query of a set that has words only beside those with pictures: there the words alone decide."""
    for asked in group:
        if not asked.images and not sets.isdisjoint(asked.places):
            yield from ((other, asked) for other in group if other.images)


def _bands(images: tuple[ImageFact, ...]) -> Iterator[tuple[int, int, int]]:
    """Yield the buckets of a query: the bands of its first picture, with the number of pictures."""
    width = HASH_BITS // _HASH_BANDS
    if not images:
        yield 0, 0, 0
    for image in images[:1]:
        for band in range(_HASH_BANDS):
            yield len(images), band, image.perceptual >> (band * width) & ((1 << width) - 1)


def _look_alike(one: Asked, other: Asked) -> bool:
    pairs = list(zip(one.images, other.images, strict=True))
    if not all(is_near(mine.perceptual, theirs.perceptual) for mine, theirs in pairs):
        return False
    try:
        return all(look_alike(mine.source, one.root, theirs.source, other.root) for mine, theirs in pairs)
    except ImageError:  # gone since it was judged
        return False


def _sides(one: Asked, other: Asked, sets: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (side to be cleaned, side that is held out) for every two sides that two alike queries are on."""
    rank = {"train": 0, "validation": 1, "test": 2}
    for own in sorted({*one.places, *other.places} - sets):
        for against in sorted({*one.places, *other.places}):
            is_apart = (own in one.places and against in other.places) or (
                own in other.places and against in one.places
            )
            if is_apart and own != against and (against in sets or rank.get(own, 0) < rank.get(against, 0)):
                yield own, against


def _at(places: Iterable[Place], name: RowFaultName, message: str) -> Iterator[SharedFault]:
    for file, line in places:
        yield SharedFault(file, line, Fault(name, message))


def _shown(place: Place) -> str:
    return f"{place[0]}:{place[1]}"


def _digest(*parts: str) -> bytes:
    return bytes.fromhex(content_key(*parts)[:16])
