"""Styles are left out whole; stored samples are read again by two versions, and what differs is listed."""

import json
from dataclasses import dataclass, replace

import pytest

from eval.refusals import rescore
from eval.refusals.crossed import CHOICES, LeftOut, chosen, crossed, folds, table
from eval.refusals.train import Example, examples
from protocol.stance import Kind
from toolkit.planner import named_plan

PLAN = named_plan("everyday")
OLDER = """
from collections import namedtuple
from enum import Enum
Decision = Enum("Decision", {"COMPLY": "comply", "REFUSE": "refuse"})
Stance = namedtuple("Stance", "decision")
def read_stance(answer):
    return Stance(Decision.REFUSE if "sorry" in answer.lower() else Decision.COMPLY)
"""


def test_a_style_is_in_one_fold_and_folds_are_of_like_size():
    styles = [each for each, num in {"a": 40, "b": 30, "c": 30, "d": 20, "e": 1}.items() for _ in range(num)]
    found = folds(styles, 3)
    assert set(found) == set("abcde")
    sizes = [sum(found[each] == fold for each in styles) for fold in range(3)]
    assert sorted(sizes) == [31, 40, 50]


def test_every_response_is_read_once_by_a_model_that_saw_none_of_its_style():
    given = [each for each in examples() if each.file in {"styles-dev", "styles-opened"}][::4]
    read = list(crossed(given, num_folds=2))
    assert sorted(each.example.text for each in read) == sorted(each.text for each in given)
    right = [each.kind is each.example.kind for each in read if each.example.kind is Kind.FULL_REFUSAL]
    assert 0.5 < sum(right) / len(right) < 1.0  # all of it right would be a model that had seen the answers
    assert table(read).row_count > 4
    assert {each.sureness for each in read} <= set(CHOICES)


@dataclass
class Read:
    """An answer that is released if the model is as sure as asked."""

    refusing: float

    def withholds_all(self, sureness, usual):
        assert not usual
        return self.refusing >= sureness.shown


@pytest.mark.parametrize(("num_leaking", "refusing", "shown"), [(0, 0.65, 0.6), (50, 0.65, 0.7), (50, 0.75, 0.8)])
def test_the_choice_that_withholds_least_is_taken_of_those_that_leak_little(num_leaking, refusing, shown):
    refusal = Example("file", "style", Kind.FULL_REFUSAL, "en", "", frozenset())
    answer = replace(refusal, kind=Kind.COMPLY)
    refusals = [LeftOut(refusal, Read(level), frozenset()) for level in (0.65, 0.75, 0.85)]
    leaking, silent = (LeftOut(answer, Read(level), frozenset()) for level in (refusing, 0.0))
    answers = [leaking] * num_leaking + [silent] * 400
    assert chosen(refusals + answers).shown == shown


def test_where_every_choice_leaks_the_strictest_is_taken():
    answer = Example("file", "style", Kind.COMPLY, "en", "", frozenset())
    assert chosen([LeftOut(answer, Read(1.0), frozenset())] * 40) == CHOICES[-1]


@pytest.fixture
def samples(tmp_path):
    """A file of three samples, two of which say the same."""
    path = tmp_path / "samples.jsonl"
    answers = ("I cannot help with that.", "I'm sorry it is dirty. Wash it by hand.", "I cannot help with that.")
    records = [
        {
            "id": str(number), "kind": "plain", "query": "q", "images": [], "diagnostics": [],
            "plan": PLAN.to_json(), "labels": {},
            "response": f"<thinking>\n</thinking>\n<answer>\n{answer}\n</answer>",
        }
        for number, answer in enumerate(answers)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    return path


@pytest.mark.process
def test_answers_that_two_versions_read_in_other_ways_are_listed(samples, tmp_path, capsys):
    (tmp_path / "before/protocol/stance").mkdir(parents=True)
    (tmp_path / "before/protocol/__init__.py").touch()
    (tmp_path / "before/protocol/stance/__init__.py").write_text(OLDER, encoding="utf-8")
    assert rescore.main(["--before", str(tmp_path / "before"), str(samples)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 of 2 different answers" in said
    assert "3 of 3 samples" in said
    assert "I cannot help with that." in said


@pytest.mark.process
def test_this_version_differs_from_itself_in_nothing(samples, capsys, pytestconfig):
    assert rescore.main(["--before", str(pytestconfig.rootpath), str(samples)]) == 0
    assert "0 of 2 different answers" in " ".join(capsys.readouterr().out.split())


def test_a_folder_that_is_no_checkout_is_named(samples, tmp_path, capsys):
    assert rescore.main(["--before", str(tmp_path), str(samples)]) == 2
    assert "expected a checkout of this repository" in capsys.readouterr().err
    assert rescore.main(["--before", str(tmp_path), str(tmp_path / "missing.jsonl")]) == 2
