"""`tritrace eval` on tasks, and what it refuses before anything is asked."""

import json

import pytest

from tests.endpoints import Endpoint, says

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
        # Complete: the same command asks nothing.
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


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--data", "x.jsonl"), "give one of --adapter"),
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
