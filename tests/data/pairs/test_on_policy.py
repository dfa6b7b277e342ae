"""A policy's own responses become pairs only if their scores are far enough apart."""

import pytest

from data.files.json_lines import row_from_json, row_to_json
from data.pairs.negatives import LengthLedger
from data.pairs.on_policy import ON_POLICY, Scored, pairs_by_score
from data.pocket.world import generate
from data.prompts import rollout_prompt
from data.rows import PreferencePair

PROMPT = rollout_prompt(next(generate("train", 1, seed=0)).query, "compact")


def scored(text, score, *codes, is_valid=True):
    return Scored(text, score, codes, is_valid)


def pair_texts(*responses, **options):
    found = pairs_by_score(PROMPT, responses, **{"min_gap": 0.3, "max_pairs": 3, **options})
    return [(pair.chosen[0]["content"], pair.rejected[0]["content"]) for pair in found]


def test_the_widest_gap_comes_first_and_no_response_is_in_two_pairs():
    responses = [scored("a", 1.0), scored("b", 0.9), scored("c", 0.5), scored("d", 0.0)]
    assert pair_texts(*responses) == [("a", "d"), ("b", "c")]
    assert pair_texts(*responses, max_pairs=1) == [("a", "d")]


def test_nothing_is_paired_without_a_gap_a_score_or_a_valid_response():
    assert pair_texts(scored("a", 0.9), scored("b", 0.7)) == []
    assert pair_texts(scored("a", None), scored("b", 0.0)) == []
    assert pair_texts(scored("a", 0.9, "G302", is_valid=False), scored("b", 0.0)) == []
    assert pair_texts(scored("a", 0.9), scored("a", 0.1)) == []
    with pytest.raises(ValueError, match="above 0"):
        pair_texts(scored("a", 0.9), min_gap=0.0)


def test_of_pairs_about_as_far_apart_the_one_that_balances_lengths_is_taken():
    ledger = LengthLedger()
    ledger.add(50)  # so far the rejected responses were longer
    responses = [scored("long" * 10, 1.0), scored("short", 1.0), scored("middle" * 3, 0.0)]
    assert pair_texts(*responses, max_pairs=1, ledger=ledger) == [("long" * 10, "middle" * 3)]
    assert ledger.num_characters == 50 + 18 - 40
    assert pair_texts(*responses, max_pairs=1, ledger=LengthLedger(-50, -1)) == [("short", "middle" * 3)]


def test_a_pair_says_what_is_wrong_with_its_rejected_response_and_is_a_row():
    (pair,) = pairs_by_score(PROMPT, [scored("a", 1.0), scored("b", 0.0, "C402", "E503")], min_gap=0.3)
    assert (pair.corruption, pair.expected_codes) == (ON_POLICY, ("C402", "E503"))
    assert (pair.query_id, pair.prompt, pair.images) == (PROMPT.query_id, PROMPT.prompt, PROMPT.images)
    assert row_from_json(row_to_json(pair), PreferencePair) == pair
