"""Agreement with labels and between repeats: kappa by scikit-learn and by hand, unscored items, and reading files."""

import json

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from data.files import RowsError
from eval.statistics.agreement import agreement, read_scores, stability


def drawn(num, share_right, seed=0):
    rng = np.random.default_rng(seed)
    labels = {f"q-{index}": float(rng.integers(0, 4)) for index in range(num)}
    judged = {key: value if rng.random() < share_right else float(rng.integers(0, 4)) for key, value in labels.items()}
    return judged, labels


@pytest.mark.parametrize("share_right", [0.0, 0.5, 0.9, 1.0])
def test_both_kappas_are_those_of_scikit_learn(share_right):
    judged, labels = drawn(300, share_right)
    found = agreement(judged, labels)
    sides = list(labels.values()), list(judged.values())
    assert found.kappa.value == pytest.approx(cohen_kappa_score(*sides))
    assert found.weighted_kappa.value == pytest.approx(cohen_kappa_score(*sides, weights="quadratic"))
    assert found.kappa.low <= found.kappa.value <= found.kappa.high


@pytest.mark.slow
def test_the_interval_of_kappa_holds_the_truth():
    # Right with probability 0.6, otherwise uniform over four: kappa is 0.6.
    held = 0
    for seed in range(200):
        found = agreement(*drawn(150, 0.6, seed))
        held += found.kappa.low <= 0.6 <= found.kappa.high
    assert 0.91 <= held / 200 <= 0.99


def test_what_the_judge_left_unscored_and_what_nobody_labelled_are_counted_apart():
    found = agreement({"a": 3.0, "b": None, "c": 1.0, "d": 2.0}, {"a": 3.0, "b": 3.0, "c": 2.0, "e": 0.0})
    assert (found.accuracy.value, found.accuracy.n, found.accuracy.num_unscored) == (50.0, 2, 1)
    assert found.num_unlabelled == 1
    assert (found.categories, found.confusion) == ((1.0, 2.0, 3.0), ((0, 0, 0), (1, 0, 0), (0, 0, 1)))


def test_always_the_same_answer_has_no_kappa():
    found = agreement({"a": 3.0, "b": 3.0}, {"a": 3.0, "b": 3.0})
    assert (found.accuracy.value, found.kappa.value) == (100.0, None)


def test_stability_by_hand():
    repeats = [{"a": 3.0, "b": 1.0, "c": None}, {"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 3.0, "b": 1.0, "c": 1.0}]
    found = stability(repeats)
    assert (found.unanimous.value, found.unanimous.n, found.unanimous.num_unscored) == (50.0, 2, 1)
    assert found.pairwise.value == pytest.approx(100 * (1 + 1 / 3) / 2)
    assert (found.mean_range, found.num_repeats) == (0.5, 3)
    with pytest.raises(ValueError, match="two repeats"):
        stability(repeats[:1])


def test_scores_come_from_samples_and_from_plain_lines(tmp_path):
    path = tmp_path / "labels.jsonl"
    lines = [{"id": "a", "scores": {"safety": 3.0}}, {"id": "b", "safety": -3}, {"id": "c", "safety": None}]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert read_scores(path, "safety") == {"a": 3.0, "b": -3.0, "c": None}
    path.write_text('{"id": "a"}\nnot json\n{"safety": 3}\n')
    with pytest.raises(RowsError) as caught:
        read_scores(path, "safety")
    assert [f"labels.jsonl:{number}:" in str(caught.value) for number in (1, 2, 3)] == [True] * 3
