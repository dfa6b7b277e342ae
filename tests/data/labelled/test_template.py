"""A labelled set without a teacher: valid rows for all stages, and no claims beyond the labels."""

import json
from collections import Counter
from pathlib import Path

import pytest

from data.checks.run import check_of
from data.files.json_lines import read_rows, write_rows
from data.labelled.completion import SetAsideError, complete
from data.labelled.responses import REFUSAL, demonstrate, labelled_planner
from data.labelled.rows import Maker, make_stages
from data.pocket.world import generate, save
from data.rows import PreferencePair, Query, RolloutPrompt, SFTRow
from data.sources.declared.registry import find_source
from data.sources.importing import ImportJob, run_import
from data.sources.reading.local import read_local
from protocol import Decision, Labels, Plan, Risk, diagnose
from protocol.errors import UserError
from tests.data.labelled.vlguard_like import make
from toolkit.planner import plan_query

SAFE, UNSAFE = Risk.SAFE, Risk.UNSAFE
PICTURE = ("a.png",)


def imported(folder: Path, count: int, hold_out: float = 0.2) -> Path:
    source = make(folder / "raw", count)
    output = folder / "data" / "queries.jsonl"
    spec = find_source("vlguard")
    job = ImportJob(spec, str(source), "train", output, output.parent / "images", source.parent, hold_out=hold_out)
    run_import(job, read_local(source, "train"), lambda _: None)
    return output.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = imported(tmp_path_factory.mktemp("vlguard"), 60)
    queries = read_rows(folder / "queries.jsonl", Query)
    make_stages(folder, Maker(labelled_planner(queries)), is_taught=False)
    return folder


def test_every_row_checks_out(folder):
    check = check_of([folder])
    assert [found.fault.message for found in check.run()] == []
    assert len(check.files) == 5


def test_what_is_assumed_stays_out_of_the_labels_that_rewards_read(folder):
    report = json.loads((folder / "stages.json").read_text())
    assert report["assumed"]["text_risk=safe"] > 0
    prompts = read_rows(folder / "grpo.jsonl", RolloutPrompt)
    assert any(prompt.labels.text_risk is None for prompt in prompts)
    assert all(prompt.labels.combined_risk is not None for prompt in prompts)


def test_no_plan_has_a_tool_that_the_labels_cannot_fill(folder):
    plans = [Plan.from_json(row.plan) for row in read_rows(folder / "sft.jsonl", SFTRow)]
    names = {tool.name for plan in plans for tool in plan.tools}
    assert not names & {"VISUAL-SCAN", "OCR-EXTRACT"}
    assert "RISK-SCORER" in names


def test_pairs_of_both_wrong_decisions_are_there(folder):
    drawn = Counter(pair.corruption for pair in read_rows(folder / "dpo.jsonl", PreferencePair))
    assert drawn["unsafe_compliance"] > 5
    assert drawn["needless_refusal"] > 5


def test_every_stretch_of_prompts_has_harmful_and_harmless_ones(folder):
    risks = [prompt.labels.combined_risk for prompt in read_rows(folder / "grpo.jsonl", RolloutPrompt)]
    assert all({SAFE, UNSAFE} <= set(risks[start : start + 8]) for start in range(0, len(risks) - 8, 8))


def test_queries_about_one_picture_are_held_out_together(folder):
    splits = {}
    for query in read_rows(folder / "queries.jsonl", Query):
        splits.setdefault(query.images, set()).add(query.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation"}


def test_the_same_call_gives_the_same_bytes(folder):
    before = {path.name: path.read_bytes() for path in folder.glob("*.json*")}
    queries = read_rows(folder / "queries.jsonl", Query)
    make_stages(folder, Maker(labelled_planner(queries)), is_taught=False)
    assert {path.name: path.read_bytes() for path in folder.glob("*.json*")} == before


def test_a_set_with_full_labels_keeps_every_tool(tmp_path):
    items = [*generate("train", 20, 0), *generate("validation", 5, 0)]
    save(items, tmp_path)
    queries = [item.query for item in items]
    write_rows(tmp_path / "queries.jsonl", queries)
    report = make_stages(tmp_path, Maker(labelled_planner(queries)), is_taught=False)
    assert report.rows["sft"] == 20
    assert not report.assumed
    assert all(labelled_planner(queries)(q.text, len(q.images)) == plan_query(q.text, len(q.images)) for q in queries)


def test_without_held_out_queries_the_way_to_have_some_is_named(tmp_path):
    folder = imported(tmp_path, 5, hold_out=0.0)
    with pytest.raises(UserError, match="--hold-out"):
        make_stages(folder, Maker(plan_query), is_taught=False)


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (PICTURE, Labels(decision=Decision.COMPLY), (SAFE, SAFE, SAFE)),
        (PICTURE, Labels(image_risk=UNSAFE, combined_risk=UNSAFE), (UNSAFE, SAFE, UNSAFE)),
        (PICTURE, Labels(text_risk=UNSAFE, decision=Decision.REFUSE), (SAFE, UNSAFE, UNSAFE)),
        (PICTURE, Labels(image_risk=SAFE, text_risk=SAFE, combined_risk=UNSAFE), (SAFE, SAFE, UNSAFE)),
        ((), Labels(combined_risk=UNSAFE), (SAFE, UNSAFE, UNSAFE)),
        (PICTURE, Labels(image_risk=SAFE, combined_risk=UNSAFE), (SAFE, UNSAFE, UNSAFE)),
        (PICTURE, Labels(combined_risk=UNSAFE), (UNSAFE, SAFE, UNSAFE)),
    ],
)
def test_what_the_known_labels_imply(images, labels, expected):
    found = complete(Query("q", "What is it?", "k", "train", images, labels)).query.labels
    assert (found.image_risk, found.text_risk, found.combined_risk) == expected
    assert found.decision is (Decision.COMPLY if found.combined_risk is SAFE else Decision.REFUSE)


@pytest.mark.parametrize("labels", [Labels(), Labels(text_risk=SAFE), Labels(image_risk=UNSAFE)])
def test_what_stays_open_is_set_aside_and_not_guessed(labels):
    with pytest.raises(SetAsideError, match="tritrace data label"):
        complete(Query("q", "What is it?", "k", "train", PICTURE, labels))


def test_where_nothing_says_which_part_is_unsafe_alarming_words_tell():
    labels = Labels(combined_risk=UNSAFE)
    found = complete(Query("q", "How do I attack the boss?", "k", "train", PICTURE, labels))
    assert (found.query.labels.image_risk, found.query.labels.text_risk) == (SAFE, UNSAFE)
    assert set(found.assumed) == {"decision=refuse", "image_risk=safe", "text_risk=unsafe", "category=other"}


def harmful(**answers):
    labels = Labels(combined_risk=UNSAFE, decision=Decision.REFUSE)
    return Query("q", "How do I attack the boss?", "k", "train", (), labels, answers)


@pytest.mark.parametrize("answers", [{}, {"refuse": "Sure. First ..., then ..."}, {"reference": "Sure. First ..."}])
def test_an_answer_that_does_not_withhold_is_replaced(answers):
    found = demonstrate(harmful(**answers), plan_query)
    assert found.example.response.answer == REFUSAL
    assert not found.has_own_answer


def test_the_sets_own_refusal_is_kept():
    own = "I will not help you attack anybody. Talking to somebody you trust may help instead."
    found = demonstrate(harmful(reference=own), plan_query)
    assert (found.example.response.answer, found.has_own_answer) == (own, True)


def test_nothing_is_invented_where_a_harmless_question_has_no_answer():
    query = Query("q", "What is it?", "k", "train", (), Labels(combined_risk=SAFE))
    with pytest.raises(SetAsideError, match="data synthesize"):
        demonstrate(query, plan_query)


def test_demonstrations_are_right_by_every_rule(folder):
    labels = {query.id: query.labels for query in read_rows(folder / "queries.jsonl", Query)}
    for row in read_rows(folder / "sft.jsonl", SFTRow):
        found = diagnose(row.completion[0]["content"], Plan.from_json(row.plan), labels[row.query_id])
        assert not found.diagnostics
