"""The files of the stages depend only on the seed, share no query, are correct, and load into datasets."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from statistics import fmean

import pytest

from data.building.build import Sizes, build_pocket
from data.corruptions import CORRUPTIONS
from data.files.json_lines import read_rows
from data.pairs.lengths import length_gap
from data.pairs.negatives import RISK_CLAIMS, WRONG_DECISIONS
from data.pictures.images import open_image
from data.rows import PreferencePair, Query, RolloutPrompt, SFTRow
from protocol import Plan, Risk, diagnose
from toolkit.catalogue import PICTURE_TOOLS
from toolkit.planner import plan_query
from toolkit.sampling import SamplingPlanner

SIZES = Sizes(sft=30, dpo=30, grpo=40, validation=10, test=40)
TYPES = {
    "queries": Query,
    "sft": SFTRow,
    "dpo": PreferencePair,
    "grpo": RolloutPrompt,
    "validation": RolloutPrompt,
    "test": RolloutPrompt,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pocket")
    assert build_pocket(path, SIZES, seed=0)
    return path


@pytest.fixture(scope="module")
def rows(folder):
    return {name: read_rows(folder / f"{name}.jsonl", row_type) for name, row_type in TYPES.items()}


def contents(folder: Path):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(folder, tmp_path):
    build_pocket(tmp_path / "again", SIZES, seed=0)
    build_pocket(tmp_path / "other", SIZES, seed=1)
    assert contents(tmp_path / "again") == contents(folder)
    assert contents(tmp_path / "other")["sft.jsonl"] != contents(folder)["sft.jsonl"]


def test_what_is_built_is_left_alone_and_what_is_damaged_is_built_again(tmp_path):
    small = Sizes(sft=3, dpo=3, grpo=3, validation=2, test=2)
    assert build_pocket(tmp_path, small, seed=0)
    before = contents(tmp_path)
    assert not build_pocket(tmp_path, small, seed=0)
    picture = next(name for name in before if name.endswith(".png"))
    for name, damage in (
        ("sft.jsonl", None),
        ("sft.jsonl", "{"),
        ("built.json", None),
        ("built.json", "{"),
        (picture, None),
    ):
        (tmp_path / name).unlink()
        if damage is not None:
            (tmp_path / name).write_text(damage)
        assert build_pocket(tmp_path, small, seed=0)
        assert contents(tmp_path) == before
    assert build_pocket(tmp_path, small, seed=1)


def test_described_scenes_are_told_in_words_and_leave_the_split_and_the_answers_as_they_were(rows, tmp_path):
    assert build_pocket(tmp_path, SIZES, seed=0, scenes="described")
    assert not build_pocket(tmp_path, SIZES, seed=0, scenes="described")
    assert not (tmp_path / "images").exists()
    told = {name: read_rows(tmp_path / f"{name}.jsonl", row_type) for name, row_type in TYPES.items()}
    for query, seen in zip(told["queries"], rows["queries"], strict=True):
        scene, _, question = query.text.partition("\n")
        assert (question, query.answers, query.split, query.kind) == (seen.text, seen.answers, seen.split, seen.kind)
        assert all(name in scene for name in (seen.setting, *seen.labels.objects, *seen.labels.texts))
        assert (query.images, query.labels.objects, query.labels.texts) == ((), (), ())
        assert (query.labels.image_risk, query.labels.text_risk) == ("safe", seen.labels.combined_risk)
        assert (query.labels.decision, query.labels.facts) == (seen.labels.decision, seen.labels.facts)
    labels = {query.id: query.labels for query in told["queries"]}
    texts = [(row, row.completion) for row in told["sft"]] + [(row, row.chosen) for row in told["dpo"]]
    for row, (message,) in texts:
        plan = Plan.from_json(row.plan)
        assert diagnose(message["content"], plan, labels[row.query_id]).diagnostics == ()
        assert not set(plan.tools) & set(PICTURE_TOOLS)
    assert build_pocket(tmp_path, SIZES, seed=0)


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_number_of_jobs(tmp_path):
    sizes = Sizes(sft=130, dpo=3, grpo=2, validation=2, test=2)
    build_pocket(tmp_path / "one", sizes, seed=0, jobs=1, draw="balanced")
    build_pocket(tmp_path / "two", sizes, seed=0, jobs=2, draw="balanced")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.slow
def test_an_interrupted_build_is_continued_and_nothing_is_seen_of_it_before(tmp_path):
    sizes = Sizes(sft=250, dpo=3, grpo=2, validation=2, test=2)
    build_pocket(tmp_path / "whole", sizes, seed=0)
    place, done = tmp_path / "part", []

    def interrupt(count):
        done.append(count)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_pocket(place, sizes, seed=0, on_progress=interrupt)
    assert not place.exists()
    parts = tmp_path / ".part.draft" / "parts"
    kept = {path: path.stat().st_mtime_ns for path in parts.iterdir()}
    assert len(kept) == 4
    reported = []

    def look(count):
        reported.append(count)
        assert {path: path.stat().st_mtime_ns for path in kept} == kept

    assert build_pocket(place, sizes, seed=0, on_progress=look)
    assert sum(reported) == 259
    assert contents(place) == contents(tmp_path / "whole")
    assert not (tmp_path / ".part.draft").exists()


def test_other_files_in_the_folder_stay(tmp_path):
    small = Sizes(sft=3, dpo=3, grpo=3, validation=2, test=2)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").write_text("mine")
    build_pocket(tmp_path / "data", small, seed=0)
    build_pocket(tmp_path / "data", small, seed=1)
    assert (tmp_path / "data" / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.slow
def test_a_balanced_draw_leaves_length_no_signal_and_the_plain_one_does_not(tmp_path):
    sizes = Sizes(sft=0, dpo=200, grpo=0, validation=0, test=1, pairs_per_query=3)
    gaps = {}
    for draw in ("drawn", "balanced"):
        build_pocket(tmp_path / draw, sizes, seed=0, draw=draw)
        pairs = read_rows(tmp_path / draw / "dpo.jsonl", PreferencePair)
        assert len(pairs) == 600
        gaps[draw] = length_gap([(len(pair.chosen[0]["content"]), len(pair.rejected[0]["content"])) for pair in pairs])
    is_even = {
        draw: abs(gap.mean) < 2 and abs(gap.longer_share - 0.5) < 0.02 and abs(gap.auc - 0.5) < 0.06
        for draw, gap in gaps.items()
    }
    assert is_even == {"drawn": False, "balanced": True}, gaps


def test_files_have_the_sizes_asked_for(rows):
    assert [len(rows[name]) for name in ("sft", "grpo", "validation", "test")] == [30, 40, 10, 40]
    assert len(rows["queries"]) == 150
    assert set(Counter(pair.query_id for pair in rows["dpo"]).values()) == {SIZES.pairs_per_query}


def test_ids_are_unique_and_no_query_is_in_two_files_or_on_two_sides(rows):
    for name, each in rows.items():
        assert len({row.id for row in each}) == len(each), name
    asked = {name: {row.query_id for row in each} for name, each in rows.items() if name != "queries"}
    assert all(asked[one].isdisjoint(asked[other]) for one, other in combinations(asked, 2))
    assert set().union(*asked.values()) == {query.id for query in rows["queries"]}
    splits = {"sft": "train", "dpo": "train", "grpo": "train", "validation": "validation", "test": "test"}
    for name, split in splits.items():
        assert {row.split for row in rows[name]} == {split}


def test_what_is_held_up_as_right_is_valid_and_what_is_rejected_has_its_codes(rows):
    labels = {query.id: query.labels for query in rows["queries"]}
    for row in (*rows["sft"], *rows["dpo"]):
        right = (row.completion if isinstance(row, SFTRow) else row.chosen)[0]["content"]
        assert diagnose(right, Plan.from_json(row.plan), labels[row.query_id]).diagnostics == ()
    for pair in rows["dpo"]:
        verdict = diagnose(pair.rejected[0]["content"], Plan.from_json(pair.plan), labels[pair.query_id])
        assert {found.code for found in verdict.diagnostics} == set(pair.expected_codes)
        assert pair.expected_codes == tuple(sorted(CORRUPTIONS[pair.corruption].codes))


def test_no_pair_is_about_the_decision_and_a_look_or_a_claim_comes_first(rows):
    first = [pair.corruption for pair in rows["dpo"] if pair.id.endswith("-0")]
    assert {CORRUPTIONS[name].family for name in first if name != "unlooked"} == {"evidence", "decision"}
    assert "unlooked" in first
    assert {pair.corruption for pair in rows["dpo"]}.isdisjoint(WRONG_DECISIONS)


def test_with_pairs_about_the_decision_it_comes_first(tmp_path):
    sizes = Sizes(sft=0, dpo=20, grpo=0, validation=0, test=0, weigh_share=1.0)
    build_pocket(tmp_path, sizes, seed=0, draw="drawn")
    pairs = list(read_rows(tmp_path / "dpo.jsonl", PreferencePair))
    assert {pair.corruption for pair in pairs if pair.id.endswith("-0")} == set(WRONG_DECISIONS)


@pytest.mark.parametrize("scenes", ["drawn", "described"])
def test_even_pairs_claim_a_false_risk_of_as_many_unsafe_queries_as_safe_ones(tmp_path, scenes):
    def surplus_of_safe(draw: str) -> int:
        sizes = Sizes(sft=0, dpo=60, grpo=0, validation=0, test=0)
        build_pocket(tmp_path / draw, sizes, seed=0, scenes=scenes, draw=draw)
        risks = {query.id: query.labels.combined_risk for query in read_rows(tmp_path / draw / "queries.jsonl", Query)}
        pairs = list(read_rows(tmp_path / draw / "dpo.jsonl", PreferencePair))
        assert len(pairs) == 120
        claims = Counter(risks[pair.query_id] for pair in pairs if pair.corruption in RISK_CLAIMS)
        assert claims[Risk.UNSAFE] >= 5
        return claims[Risk.SAFE] - claims[Risk.UNSAFE]

    assert surplus_of_safe("traces") >= 5
    assert abs(surplus_of_safe("even")) <= 2  # of one query both pairs may be such claims


@pytest.mark.slow
@pytest.mark.parametrize(("look_share", "weigh_share"), [(0.3, 0.3), (1.0, 0.0), (0.0, 1.0)])
def test_demonstrations_look_and_weigh_in_their_shares_where_the_graph_allows(tmp_path, look_share, weigh_share):
    sizes = Sizes(sft=500, dpo=60, grpo=0, validation=0, test=0, look_share=look_share, weigh_share=weigh_share)
    build_pocket(tmp_path, sizes, seed=0)
    shown = [row for row in read_rows(tmp_path / "sft.jsonl", SFTRow) if row.kind in OPEN_KINDS]
    held_up = [row for row in read_rows(tmp_path / "dpo.jsonl", PreferencePair) if row.kind in OPEN_KINDS]
    assert called("VISUAL-SCAN", [row.completion for row in shown]) == pytest.approx(look_share, abs=0.1)
    assert called("RISK-SCORER", [row.completion for row in shown]) == pytest.approx(weigh_share, abs=0.1)
    assert called("VISUAL-SCAN", [row.chosen for row in held_up]) == 1.0
    assert called("RISK-SCORER", [row.chosen for row in held_up]) == pytest.approx(weigh_share, abs=0.25)


OPEN_KINDS = frozenset({"harmful_text", "frightening", "typographic", "typographic_safe"})


def called(tool, messages):
    return fmean(f"[{tool}]" in message[0]["content"] for message in messages)


def test_what_was_not_looked_at_is_all_that_is_missing_from_a_trace_that_did_not_look(tmp_path):
    build_pocket(tmp_path, Sizes(sft=0, dpo=60, grpo=0, validation=0, test=0), seed=0)
    pairs = [pair for pair in read_rows(tmp_path / "dpo.jsonl", PreferencePair) if pair.corruption == "unlooked"]
    assert len(pairs) > 10
    for pair in pairs:
        right, wrong = (side[0]["content"].splitlines() for side in (pair.chosen, pair.rejected))
        assert [line for line in right if line not in wrong] == [line for line in right if "VISUAL-SCAN" in line]
        assert set(wrong) <= set(right)
        assert pair.expected_codes == ()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_eight_rollout_prompts_in_a_row_have_an_unsafe_one_and_every_sixteen_both_twins(seed, tmp_path):
    build_pocket(tmp_path, Sizes(sft=1, dpo=1, grpo=400, validation=1, test=1), seed=seed)
    prompts = list(read_rows(tmp_path / "grpo.jsonl", RolloutPrompt))
    assert len(prompts) == 400
    for start in range(0, 400, 8):
        assert any(prompt.labels.combined_risk is Risk.UNSAFE for prompt in prompts[start : start + 8]), start
    for start in range(0, 400, 16):
        kinds = {prompt.kind for prompt in prompts[start : start + 16]}
        assert kinds & {"compositional", "typographic"}, start  # only the picture makes these harmful,
        assert kinds & {"compositional_safe", "typographic_safe"}, start  # and these harmless


def test_every_picture_opens(folder, rows):
    assert all(open_image(image, folder).size for query in rows["queries"] for image in query.images)


@pytest.mark.torch
@pytest.mark.parametrize("name", TYPES)
def test_datasets_loads_every_file(folder, tmp_path, name):
    datasets = pytest.importorskip("datasets")
    path = str(folder / f"{name}.jsonl")
    loaded = datasets.load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path))
    first = json.loads((folder / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")[0])
    assert set(loaded.column_names) == set(first)
    assert loaded[0]["id"] == first["id"]
    for column in {"prompt", "completion", "chosen", "rejected", "images"} & set(first):
        assert loaded[0][column] == first[column]


def test_sampled_plans_build_other_rows_over_the_same_queries(tmp_path):
    small = Sizes(sft=6, dpo=4, grpo=2, validation=2, test=2)
    for name, planner in (("rule", plan_query), ("sampled", SamplingPlanner(0))):
        assert build_pocket(tmp_path / name, small, seed=0, planner=planner)
        assert not build_pocket(tmp_path / name, small, seed=0, planner=planner)
    assert build_pocket(tmp_path / "sampled", small, seed=0, planner=SamplingPlanner(1))
    rule, sampled = (read_rows(tmp_path / name / "sft.jsonl", SFTRow) for name in ("rule", "sampled"))
    assert [row.query_id for row in rule] == [row.query_id for row in sampled]
    assert len({row.plan for row in sampled}) == len(sampled)
    for row in sampled:
        assert diagnose(row.completion[0]["content"], Plan.from_json(row.plan)).is_valid
