"""Agreement with labels and between repeats: kappa by scikit-learn and by hand, unscored items, and reading files."""

import json
from math import nan

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from data.files.json_lines import RowsError
from eval.statistics.agreement import NUM_RESAMPLES, agreement, kappa, read_scores, stability
from eval.statistics.intervals import wilson


def drawn(num, share_right, seed=0):
    rng = np.random.default_rng(seed)
    labels = {f"q-{index}": float(rng.integers(0, 4)) for index in range(num)}
    judged = {key: value if rng.random() < share_right else float(rng.integers(0, 4)) for key, value in labels.items()}
    return judged, labels


def percent(ends):
    return [100 * end for end in ends]


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
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(percent(wilson(0.5, 2, 1.959964)))
    assert found.num_unlabelled == 1
    assert (found.categories, found.confusion) == ((1.0, 2.0, 3.0), ((0, 0, 0), (1, 0, 0), (0, 0, 1)))


def test_the_interval_of_kappa_is_the_percentile_bootstrap_of_its_table():
    counts = np.array([[12.0, 3.0], [5.0, 10.0]])

    def by_hand(table):
        rows, columns, total = table.sum(1), table.sum(0), table.sum()
        chance = (rows * columns).sum() / total**2
        return (np.trace(table) / total - chance) / (1 - chance) if chance < 1 else nan

    drawn = np.random.default_rng(0).multinomial(30, counts.ravel() / 30, NUM_RESAMPLES).reshape(-1, 2, 2)
    low, high = np.nanpercentile([by_hand(each) for each in drawn], [2.5, 97.5])
    for found in (kappa(counts, 1 - np.eye(2)), agreement(*of_table(counts)).kappa):
        assert (found.value, found.low, found.high) == pytest.approx((by_hand(counts), low, high))
    assert NUM_RESAMPLES == 2000


def of_table(counts):
    """Return the judge's scores and the labels that give a table of counts."""
    cells = [cell for cell, count in np.ndenumerate(counts) for _ in range(int(count))]
    return (
        {f"q-{index}": float(column) for index, (_, column) in enumerate(cells)},
        {f"q-{index}": float(row) for index, (row, _) in enumerate(cells)},
    )


def test_a_far_miss_weighs_more_than_a_near_one_on_the_scale_of_the_scores():
    # Labels 0 and 3, and one of four judged 3 in place of 0: seen 1/4, by chance (2/4 x 3/4 + 2/4 x 1/4) = 1/2.
    far = agreement({"a": 0.0, "b": 3.0, "c": 3.0, "d": 3.0}, {"a": 0.0, "b": 0.0, "c": 3.0, "d": 3.0})
    assert (far.kappa.value, far.weighted_kappa.value) == (0.5, 0.5)
    near = agreement({"a": 0.0, "b": 1.0, "c": 3.0, "d": 3.0}, {"a": 0.0, "b": 0.0, "c": 3.0, "d": 3.0})
    assert near.weighted_kappa.value > 0.8 > near.kappa.value


def test_always_the_same_answer_has_no_kappa():
    found = agreement({"a": 3.0, "b": 3.0}, {"a": 3.0, "b": 3.0})
    assert (found.accuracy.value, found.kappa.value) == (100.0, None)


def test_stability_by_hand():
    repeats = [{"a": 3.0, "b": 1.0, "c": None}, {"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 3.0, "b": 1.0, "c": 1.0}]
    found = stability(repeats)
    assert (found.unanimous.value, found.unanimous.n, found.unanimous.num_unscored) == (50.0, 2, 1)
    assert found.pairwise.value == pytest.approx(100 * (1 + 1 / 3) / 2)
    assert (found.unanimous.low, found.unanimous.high) == pytest.approx(percent(wilson(0.5, 2, 1.959964)))
    # 1 and 1/3 are each 1/3 from their mean: variance 2 (1/3)² / 4 = 1/18, as much as (2/3 x 1/3) x 18 = 4 draws tell.
    assert (found.pairwise.low, found.pairwise.high) == pytest.approx(percent(wilson(2 / 3, 4, 1.959964)))
    assert (found.mean_range, found.num_repeats) == (0.5, 3)
    with pytest.raises(ValueError, match="two repeats"):
        stability(repeats[:1])


def test_scores_come_from_samples_and_from_plain_lines(tmp_path):
    path = tmp_path / "labels.jsonl"
    lines = [{"id": "a", "scores": {"safety": 3.0}}, {"id": "b", "safety": -3}, {"id": "c", "safety": None}]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert read_scores(path, "safety") == {"a": 3.0, "b": -3.0, "c": None}
    labelled = [{"id": "a", "labels": {"risk": "unsafe"}}, {"id": "b", "labels": {"risk": "safe"}}]
    path.write_text("\n".join(map(json.dumps, labelled)))
    assert read_scores(path, "risk") == {"a": 1.0, "b": 0.0}
    decisions = [{"id": each, "decision": each} for each in ("comply", "redirect", "refuse")]
    path.write_text("\n".join(map(json.dumps, decisions)))
    assert read_scores(path, "decision") == {"comply": 0.0, "redirect": 1.0, "refuse": 2.0}
    path.write_text("")
    with pytest.raises(RowsError, match="holds no scores"):
        read_scores(path, "safety")
    path.write_text('{"id": "a"}\nnot json\n{"safety": 3}\n')
    with pytest.raises(RowsError) as caught:
        read_scores(path, "safety")
    assert [f"labels.jsonl:{number}:" in str(caught.value) for number in (1, 2, 3)] == [True] * 3
    assert "more" not in str(caught.value)


WRONG = [
    '{"id": "a", "safety": NaN}',
    '{"id": "a", "safety": Infinity}',
    '{"id": "a", "safety": "high"}',
    '{"id": "a", "safety": [3]}',
    '{"id": "a", "safety": 1%s}' % ("0" * 400),
    '{"safety": 3}',
    '["safety"]',
    "7",
    "{",
    "[" * 100_000,
]


@pytest.mark.parametrize("line", WRONG, ids=lambda line: line[:30])
def test_a_line_without_a_readable_score_is_named(tmp_path, line):
    path = tmp_path / "labels.jsonl"
    path.write_text(f'{{"id": "b", "safety": 3}}\n{line}\n')
    with pytest.raises(RowsError, match=r"labels\.jsonl:2: no score 'safety' with an id"):
        read_scores(path, "safety")


def test_of_many_wrong_lines_the_first_twenty_are_listed_and_the_rest_counted(tmp_path):
    path = tmp_path / "labels.jsonl"
    for count, told in ((20, ""), (23, "... and 3 more\n")):
        path.write_text("{}\n" * count)
        with pytest.raises(RowsError) as caught:
            read_scores(path, "safety")
        assert str(caught.value).count("no score 'safety'") == 20
        assert str(caught.value).endswith(
            f'(StopIteration: )\n{told}hint: each line is a sample, or an object such as {{"id": "q-1", "safety": 3}}'
        )


def test_repeats_are_compared_over_what_all_of_them_have():
    found = stability([{"a": 3.0, "b": None, "c": 1.0}, {"a": -1.0, "b": None}])
    assert (found.unanimous.value, found.pairwise.value, found.mean_range) == (0.0, 0.0, 4.0)
    assert (found.unanimous.n, found.pairwise.num_unscored, found.num_repeats) == (1, 1, 2)
    assert stability([{"a": None}, {"a": 1.0}]).mean_range is None
    assert stability([{"a": 3.0}, {"a": 3.0}]).to_json()["unanimous"]["value"] == 100.0
