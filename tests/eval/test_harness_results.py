"""Reading the results of lm-eval and VLMEvalKit: numbers, errors, sizes, and reasons of missing values."""

import json
import os
import shutil
from pathlib import Path

import pytest

from eval.harness.errors import HarnessResultError
from eval.harness.lm_eval_results import read_lm_eval
from eval.harness.reading import read_results
from eval.harness.scores import BenchmarkScore, benchmark_rows
from eval.harness.table import benchmarks_to_markdown, format_benchmark
from eval.harness.vlmeval_results import read_vlmeval_table

RESULTS = Path(__file__).parent / "harness_results"


def test_a_file_that_lm_eval_wrote():
    (found,) = read_results(RESULTS / "lm-eval")
    assert (found.benchmark, found.metric, found.value) == ("local_yes_no (version 1)", "acc", 0.5)
    assert found.standard_error == pytest.approx(0.18898, abs=1e-5)
    assert (found.n, found.is_higher_better) == (8, True)


def test_filters_missing_errors_groups_and_what_is_no_number(tmp_path):
    record = {
        "results": {
            "gsm8k": {
                "alias": "gsm8k",
                "exact_match,strict-match": 0.25,
                "exact_match_stderr,strict-match": "N/A",
                "exact_match,flexible-extract": 0.5,
                "exact_match_stderr,flexible-extract": 0.01,
            },
            "mmlu": {" ": " ", "alias": "mmlu"},
            "odd": {"acc,none": "N/A", "acc_stderr,none": "N/A"},
        },
        "higher_is_better": {"gsm8k": {"exact_match": True}, "odd": {"acc": None}},
        "n-samples": {"gsm8k": {"original": 1319, "effective": 100}},
        "versions": {"gsm8k": 3.0, "odd": "Yaml"},
    }
    path = tmp_path / "results_2026-08-21T10-00-00.000000.json"
    path.write_text(json.dumps(record))
    strict, flexible, odd = read_lm_eval(path)
    assert (strict.metric, strict.standard_error, strict.n) == ("exact_match (strict-match)", None, 100)
    assert (flexible.value, flexible.standard_error) == (0.5, 0.01)
    assert (odd.value, odd.reason, odd.benchmark) == (None, "the harness reports 'N/A'", "odd")


def test_the_status_of_vlmevalkit_one_primary_metric_several_and_none():
    found = {(score.benchmark, score.metric): score for score in read_results(RESULTS / "vlmeval")}
    assert found["MMBench_DEV_EN", "split=dev|Overall"].value == 0.7216
    assert (found["MME", "perception"].value, found["MME", "reasoning"].value) == (1432.5, 310)
    assert found["MMVet", "primary metric"].reason == "the judge could not be reached"
    assert found["POPE", "primary metric"].reason == "not finished: infer"
    assert len(found) == 5


def test_the_score_tables_of_older_versions():
    found = {(score.benchmark, score.metric): score.value for score in read_results(RESULTS / "vlmeval-older")}
    assert found == {
        ("MMBench", "Overall (split=dev)"): 0.7216,
        ("MMBench", "Overall (split=test)"): 0.7,
        ("OCRBench", "Final Score Norm"): 61.0,
    }


def test_a_table_is_not_read_where_a_status_says_the_same(tmp_path):
    shutil.copytree(RESULTS / "vlmeval" / "grpo", tmp_path / "grpo" / "T1")
    shutil.copy(RESULTS / "vlmeval-older" / "grpo" / "grpo_MMBench_acc.csv", tmp_path / "grpo")
    assert {score.benchmark for score in read_results(tmp_path)} == {"MMBench_DEV_EN", "MME", "MMVet", "POPE"}


def test_of_two_runs_of_a_task_the_later_counts(tmp_path):
    for age, value in ((100, 0.25), (50, 0.75)):
        path = tmp_path / f"results_2026-08-2{age % 9}T10-00-00.0.json"
        path.write_text(json.dumps({"results": {"arc": {"acc,none": value}}}))
        os.utime(path, (1e9 - age, 1e9 - age))
    assert [score.value for score in read_results(tmp_path)] == [0.75]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", "{", "cannot be read as lm-eval results"),
        ("results.json", "[]", "results: expected an object of tasks"),
        ("results.json", '{"results": {"arc": 1}}', "results.arc: expected an object of metrics"),
        ("status.json", '{"model_name": "x"}', "datasets: expected an object by dataset"),
        ("m_d_acc.csv", "split,Depth\nnone,1\n", "expected a number named overall"),
    ],
)
def test_what_is_not_in_the_schema_names_file_and_field(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(HarnessResultError, match=message) as raised:
        read_results(tmp_path)
    assert name in str(raised.value)


def test_a_table_that_does_not_end_in_csv_is_read_as_an_object(tmp_path):
    path = tmp_path / "m_d_score.json"
    path.write_text('{"Overall": 0.5}')
    assert read_vlmeval_table(path)[0].value == 0.5


def score(value, stage_error=0.1, **changes):
    return BenchmarkScore("lm-eval", "arc", "acc", value, stage_error, n=25, **changes)


def test_seeds_are_pooled_and_a_missing_one_is_left_out():
    rows = benchmark_rows({"sft": [[score(0.4)], [score(0.6)]], "dpo": [[score(None, None, reason="no judge")]]})
    (row,) = rows
    assert (row.by_stage["sft"].value, row.by_stage["sft"].num_seeds) == (0.5, 2)
    assert row.by_stage["sft"].low == pytest.approx(0.304, abs=1e-3)
    assert format_benchmark(row.by_stage["sft"]) == "0.5 [0.304, 0.696] n 25 × 2 seeds"
    assert format_benchmark(row.by_stage["dpo"]) == "– (no judge)"
    assert "base" not in row.by_stage


def test_a_name_cannot_end_a_cell_of_the_table():
    (row,) = benchmark_rows({"sft": [[BenchmarkScore("VLMEvalKit", "a|b\nc", "x|y", 1.0)]]})
    assert benchmarks_to_markdown([row], ["sft"]).splitlines()[2] == r"| VLMEvalKit: a\|b c, x\|y | 1 |"
