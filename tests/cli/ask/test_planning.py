"""`tritrace plan`: the choice of the planner, and the forms of the plan."""

import io
import sys

import pytest

from protocol import Plan
from stages.__main__ import main
from toolkit.planner import plan_query
from toolkit.sampling import SamplingPlanner


@pytest.fixture
def tritrace(capsys, monkeypatch):
    """Run a command; return exit code, standard output and standard error."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["tritrace", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


def test_the_rule_planner_is_the_default_and_another_is_chosen_by_name(tritrace):
    def chosen(*options):
        code, out, _ = tritrace("plan", "What is this?", "--as", "json", *options)
        assert code == 0
        return Plan.from_json(out).fingerprint

    assert chosen() == chosen("--planner", "rule") == plan_query("What is this?", 0).fingerprint
    for seed in (0, 5):
        sampled = SamplingPlanner(seed)("What is this?", 0).fingerprint
        assert chosen("--planner", "sampling", "--seed", seed) == sampled
    assert tritrace("plan", "What is this?", "--planner", "oracle")[0] == 2


def test_the_reason_says_who_chose(tritrace):
    assert "reason: sampled with seed 3" in tritrace("plan", "What is this?", "--planner", "sampling", "--seed", 3)[2]


def test_the_llm_planner_says_what_it_needs_and_what_replaced_it(tritrace, monkeypatch):
    for name in ("OPENAI_BASE_URL", "TRITRACE_LLM", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = tritrace("plan", "What is this?", "--planner", "llm")
    assert code == 2
    assert "needs --base-url and --llm" in err
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    code, _, err = tritrace("plan", "What is this?", "--planner", "llm", "--llm", "m")
    assert code == 0
    assert "instead of m, which gave no plan: the connection failed" in err
