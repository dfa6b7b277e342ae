"""Measures the reliability of a judge: its agreement with labels, and with itself in repeated runs.

Labels and repeats are scores by id, for one score such as "safety". Scores are treated as categories: 2 and 3 differ.
Kappa (Cohen 1960) removes the agreement that chance alone would give. For scores on a scale, quadratic weights (Cohen
1968) count a near miss less than a far one. The interval is a seeded percentile bootstrap over the items, drawn as
multinomial tables of counts. This is our own code, because scikit-learn's `cohen_kappa_score` has no interval, and a
dependency for one formula is too much.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.files.json_lines import RowsError, numbered_lines
from eval.statistics.intervals import Estimate, Observation, estimate

NUM_RESAMPLES = 2_000

Scores = Mapping[str, float | None]
"""Id of a response -> its score; None is unscored."""


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance: 1 is perfect, 0 is the agreement by chance."""

    value: float | None
    """None if both sides always give one and the same score, because chance then explains everything."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """The agreement of a judge with labels."""

    accuracy: Estimate
    """Items whose score equals the label, in percent; unscored items are counted separately."""
    kappa: Kappa
    """Unweighted."""
    weighted_kappa: Kappa
    """With quadratic weights."""
    categories: tuple[float, ...]
    """Every score that either side gave, ascending."""
    confusion: tuple[tuple[int, ...], ...]
    """Counts, with a row for each label and a column for each score of the judge."""
    num_unlabelled: int
    """Items with a score and without a label."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of the fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stability:
    """The agreement of repeated runs of a judge on the same responses."""

    num_repeats: int
    unanimous: Estimate
    """Items with the same score in all repeats, in percent; an item is unscored if any repeat is unscored."""
    pairwise: Estimate
    """Mean share of pairs of repeats that agree, in percent."""
    mean_range: float | None
    """Mean difference between the highest and the lowest score of an item, in points."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of the fields."""
        return asdict(self)


def read_scores(path: Path, name: str) -> dict[str, float | None]:
    """Read one score by id, from a samples.jsonl, labelled queries, or lines such as `{"id": "q-1", "safety": 3}`.

    Raises:
        RowsError: the file cannot be read, or lines have no id or no such score; lists these lines.
    """
    found: dict[str, float | None] = {}
    problems = []
    for number, line in numbered_lines(path):
        try:
            record = json.loads(line)
            value = _value_of(record, name)
            found[str(record["id"])] = None if value is None else _finite(value)
        except (ValueError, TypeError, StopIteration, AttributeError, OverflowError, RecursionError, KeyError) as error:
            problems.append(f"{path}:{number}: no score {name!r} with an id ({type(error).__name__}: {error})")
    if problems:
        hint = f'hint: each line is a sample, or an object such as {{"id": "q-1", "{name}": 3}}'
        raise RowsError(
            "\n".join([*problems[:20], *([f"... and {len(problems) - 20} more"] * (len(problems) > 20)), hint])
        )
    if not found:
        raise RowsError(f"{path}: holds no scores")
    return found


_LABELS = {"safe": 0, "unsafe": 1, "comply": 0, "redirect": 1, "refuse": 2}
"""Labels as numbers: risks, and decisions ordered by how much they withhold."""


def _value_of(record: Mapping[str, Any], name: str) -> Any:
    places = (record.get("scores"), record.get("labels"), record)
    value = next(place for place in places if isinstance(place, Mapping) and name in place)[name]
    return _LABELS[value] if isinstance(value, str) and value in _LABELS else value


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"expected a number, found {value!r:.40}")
    return number


def agreement(judged: Scores, labels: Scores, *, seed: int = 0) -> JudgeAgreement:
    """Compare a judge with labels, over the labelled items.

    Args:
        judged: the judge's scores.
        labels: the true scores; items without a label, or with None, are left out and counted.
        seed: seed of the bootstrap.
    """
    items = [(identity, label) for identity, label in labels.items() if label is not None and identity in judged]
    observations = [
        Observation(identity, 0, None if judged[identity] is None else 100.0 * (judged[identity] == label))
        for identity, label in items
    ]
    pairs = [(label, score) for identity, label in items if (score := judged[identity]) is not None]
    categories = tuple(sorted({value for pair in pairs for value in pair}))
    counts = np.zeros((len(categories), len(categories)))
    for label, score in pairs:
        counts[categories.index(label), categories.index(score)] += 1
    return JudgeAgreement(
        accuracy=estimate(observations, scale=(0.0, 100.0), is_share=True),
        kappa=kappa(counts, _mismatch(len(categories)), seed=seed),
        weighted_kappa=kappa(counts, _squared_distance(categories), seed=seed),
        categories=categories,
        confusion=tuple(tuple(int(count) for count in row) for row in counts),
        num_unlabelled=sum(score is not None and labels.get(identity) is None for identity, score in judged.items()),
    )


def kappa(counts: NDArray[np.float64], weights: NDArray[np.float64], *, seed: int = 0) -> Kappa:
    """Return Cohen's kappa of a table of counts, with a bootstrap interval.

    Args:
        counts: shape (C, C); rows are labels, columns are scores.
        weights: shape (C, C); cost of each disagreement, 0 on the diagonal.
        seed: seed of the resamples. Resamples whose kappa is undefined are left out.
    """
    total = int(counts.sum())
    value = float(_kappas(counts[None], weights)[0]) if total else float("nan")
    if np.isnan(value):
        return Kappa(None, None, None)
    drawn = np.random.default_rng(seed).multinomial(total, (counts / total).ravel(), NUM_RESAMPLES)
    resamples = _kappas(drawn.reshape(-1, *counts.shape).astype(np.float64), weights)
    low, high = np.nanpercentile(resamples, [2.5, 97.5])
    return Kappa(value, min(value, float(low)), max(value, float(high)))


def stability(repeats: Sequence[Scores]) -> Stability:
    """Compare repeated runs of a judge, over the items that every repeat has.

    Args:
        repeats: the scores of each repeat; at least two.

    Raises:
        ValueError: there are fewer than two.
    """
    if len(repeats) < 2:
        raise ValueError("stability needs at least two repeats")
    shared = [identity for identity in repeats[0] if all(identity in repeat for repeat in repeats)]
    scores_by_id = {identity: [repeat[identity] for repeat in repeats] for identity in shared}
    known = {
        identity: [score for score in scores if score is not None]
        for identity, scores in scores_by_id.items()
        if None not in scores
    }
    return Stability(
        num_repeats=len(repeats),
        unanimous=estimate(
            [Observation(each, 0, 100.0 * (len(set(known[each])) == 1) if each in known else None) for each in shared],
            scale=(0.0, 100.0),
            is_share=True,
        ),
        pairwise=estimate(
            [
                Observation(each, 0, 100.0 * _share_of_equal_pairs(known[each]) if each in known else None)
                for each in shared
            ],
            scale=(0.0, 100.0),
            is_share=False,
        ),
        mean_range=fmean(max(scores) - min(scores) for scores in known.values()) if known else None,
    )


def _share_of_equal_pairs(scores: Sequence[float]) -> float:
    count = len(scores)
    same = sum(scores.count(score) * (scores.count(score) - 1) for score in set(scores))
    return same / (count * (count - 1))


def _kappas(counts: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the kappa of each table of shape (N, C, C); NaN if no disagreement is expected by chance."""
    totals = counts.sum(axis=(1, 2))
    by_chance = np.einsum("ni,nj,ij->n", counts.sum(axis=2), counts.sum(axis=1), weights) / totals
    seen = np.einsum("nij,ij->n", counts, weights)
    kappas: NDArray[np.float64] = np.full(len(counts), np.nan)
    is_known = by_chance > 0
    kappas[is_known] = 1.0 - seen[is_known] / by_chance[is_known]
    return kappas


def _mismatch(size: int) -> NDArray[np.float64]:
    return 1.0 - np.eye(size)


def _squared_distance(categories: Sequence[float]) -> NDArray[np.float64]:
    values = np.array(categories, dtype=np.float64)
    return np.asarray((values[:, None] - values[None, :]) ** 2, dtype=np.float64)
