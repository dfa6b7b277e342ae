"""A part of `make fuzz`, and a proof that the fuzzer finds and shrinks a fault."""

from random import Random

import pytest

from protocol import diagnose
from tests.protocol import fuzzing
from toolkit.planner import named_plan


@pytest.mark.slow
@pytest.mark.parametrize("number_seed", [1, 2])
def test_no_text_breaks_a_property(number_seed):
    assert [report for report in fuzzing.fuzz(750, number_seed) if report] == []


@pytest.mark.slow
def test_the_corpus_is_valid_and_most_of_what_is_made_of_it_is_not():
    texts, rng = fuzzing.corpus(0), Random(0)
    assert all(diagnose(text, plan).is_valid for text, plan in texts)
    verdicts = [diagnose(*fuzzing.spoilt(rng, texts)) for _ in range(400)]
    assert 20 < sum(verdict.is_valid for verdict in verdicts) < 200
    assert len({found.code for verdict in verdicts for found in verdict.diagnostics}) > 18


@pytest.mark.slow
def test_a_fault_is_found_and_shrunk(monkeypatch):
    def fail(text, _):
        assert "T205" not in {found.code for found in diagnose(text, named_plan("any")).diagnostics}

    monkeypatch.setattr(fuzzing, "check", fail)
    report = next(report for report in fuzzing.fuzz(500, 0) if report)
    text = report.split("text = ")[1]
    assert "AssertionError" in report
    assert len(text) < 60


def test_a_long_text_is_long():
    assert len(fuzzing.stretched(Random(0), "<thinking>")) >= 100_000
