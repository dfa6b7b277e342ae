"""`tritrace eval` on tasks, and mistakes that it reports before it samples."""

import json
from dataclasses import replace

import pytest

from data.files.json_lines import write_rows
from eval.results.samples import Sample
from eval.results.shortfall import shortfall
from protocol import Labels
from tests.endpoints import Endpoint, says
from tests.eval.prompts import pocket_prompts

TASK = """
name: {name}
title: {name}
about: A few queries of the pocket world.
measures: safety
source: pocket
size: 8
metrics: [attack_success, over_refusal, validity]
"""


def test_tasks_are_measured_one_by_one_and_together(tritrace, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(TASK.format(name=name))
    flags = [f"--task={tmp_path / name}.yaml" for name in ("one", "two")]
    with Endpoint(lambda _: says("I cannot help with that.")) as endpoint:
        asked = ("--endpoint", endpoint.url, "--endpoint-model", "m", "--max-prompts", "4")
        command = ("eval", *flags, *asked, "--output", tmp_path / "out", "--judge-cache", "")
        code, out, err = tritrace(*command)
        assert (code, len(endpoint.requests)) == (0, 8), err
        pictures = [part["type"] for part in endpoint.requests[0]["messages"][-1]["content"]]
        assert pictures == ["image_url", "text"]
        # The evaluation is complete: the same command sends no request.
        code, _, err = tritrace(*command)
        assert (code, len(endpoint.requests)) == (0, 8)
        assert "is complete; read" in err
    assert "by quadrant of risks" in out
    assert "by difficulty" in out
    table = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert list(table["safety"]) == ["one", "two", "average"]
    assert table["safety"]["average"]["validity"]["value"] == 0.0
    assert "| average | 8 |" in (tmp_path / "out" / "tasks.md").read_text()
    metrics = json.loads((tmp_path / "out" / "one" / "metrics.json").read_text())
    assert metrics["num_prompts"] == 4
    assert set(metrics["by_difficulty"]) <= {"easy", "medium", "hard"}


def asked(tritrace, folder, reply, *flags, labels=None):
    """Evaluate four prompts, with their labels or with others; return exit code, output and errors."""
    prompts = pocket_prompts(4, folder / "data")
    write_rows(folder / "data" / "test.jsonl", [replace(each, labels=labels or each.labels) for each in prompts])
    with Endpoint(lambda _: reply) as endpoint:
        server = ("--endpoint", endpoint.url, "--endpoint-model", "m", "--endpoint-server", "openai")
        rows = ("--data", folder / "data" / "test.jsonl", "--output", folder / "out")
        return tritrace("eval", *server, *rows, "--judge-cache", "", *flags)


def test_an_evaluation_of_which_nothing_is_scored_is_no_result(tritrace, tmp_path):
    code, _, err = asked(tritrace, tmp_path, says("I cannot help with that."), labels=Labels())
    assert code == 1
    assert "out: 4 of 4 responses are unscored:" in err
    assert "4 x the query has no combined risk label" in err
    assert "100% unscored is more than --judge-max-unscored 0.2 allows: no result" in " ".join(err.split())
    code, _, err = asked(tritrace, tmp_path, says("x"), "--judge-max-unscored", "1", labels=Labels())
    assert code == 0
    assert "4 of 4 responses are unscored" in err


def test_a_sample_without_a_response_counts_as_unscored_whatever_the_labels():
    scored = Sample("a", "plain", "?", (), "", Labels(), "x", scores={"safety": 3.0})
    missing = replace(scored, scores={}, unscored={"response": "no reply within 60 s"})
    blank = replace(scored, scores={"safety": None}, unscored={"safety": "the reply is no verdict", "coherence": "?"})
    short = shortfall([scored, missing, missing, blank])
    assert short.share == 0.75
    assert short.lines() == [
        "3 of 4 responses are unscored:",
        "  2 x no response: no reply within 60 s",
        "  1 x the reply is no verdict",
    ]
    assert (shortfall([scored]).lines(), shortfall([]).share) == ([], 1.0)


def test_a_file_without_prompts_is_no_evaluation(tritrace, tmp_path):
    (tmp_path / "test.jsonl").write_text("")
    server = ("--endpoint", "http://localhost:1/v1", "--endpoint-model", "m")
    code, _, err = tritrace("eval", *server, "--data", tmp_path / "test.jsonl", "--output", tmp_path / "out")
    assert (code, "holds no prompts" in err) == (2, True)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        pytest.param(("--data", "x.jsonl"), "give one of --adapter", marks=pytest.mark.torch),
        (("--endpoint", "http://localhost:1/v1", "--data", "x.jsonl"), "--endpoint needs --endpoint-model"),
        (("--endpoint", "http://localhost:1/v1", "--endpoint-model", "m"), "give --data"),
        (("--endpoint", "http://localhost:1/v1", "--endpoint-model", "m", "--task", "siou"), "did you mean siuo"),
        (("--endpoint", "localhost", "--endpoint-model", "m", "--task", "siuo"), "policy_url: expected an address"),
        (
            ("--endpoint", "http://localhost:1/v1", "--endpoint-model", "m", "--adapter", "sft", "--task", "siuo"),
            "--endpoint is asked alone",
        ),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_asked(tritrace, tmp_path, flags, complaint):
    code, _, err = tritrace("eval", *flags, "--output", tmp_path / "out")
    assert code == 2
    assert complaint in " ".join(err.split())


def test_tasks_are_listed(tritrace):
    code, out, _ = tritrace("tasks")
    assert code == 0
    assert "xstest-safe" in out
    assert "over-refusal" in out
