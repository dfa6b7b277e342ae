"""Every code is documented, has a rule, is caused by a named corruption, and has a stable text."""

from collections import defaultdict
from dataclasses import replace
from random import Random

import pytest

from data.corruptions import CORRUPTIONS, corrupt
from protocol import codes, diagnose, explain, fingerprint
from protocol.diagnostics import CodeFamily, show
from protocol.rules import all_rules
from tests.protocol.documents import MESSY, MESSY_PLAN, WRITTEN
from tests.protocol.examples import examples, spoilt
from toolkit.planner import named_plan

NEVER_ALONE = {
    "G303": {"G302", "G304"},  # without a phase, the trace takes a step that the graph lacks, or ends early
    "G304": {"G303"},  # a trace that stops early has no decision
    "G305": {"G302"},  # our graphs have fewer paths than steps
    "C401": {"E503"},  # one of two risks differs from the label
}
"""Codes that no corruption causes alone -> codes that come with them."""


@pytest.fixture(scope="module", name="examples")
def honest_examples():
    return examples()


def test_every_code_has_a_rule_and_every_rule_a_code():
    assert list(all_rules()) == sorted(codes())
    assert len(codes()) == 29


@pytest.mark.parametrize("code", codes())
def test_every_code_explains_itself(code):
    entry, text = codes()[code], explain(code)
    assert text.startswith(f"{code} {entry.name}: {entry.summary}")
    assert entry.family.counts_against in text
    assert len(entry.explanation) > 40
    assert entry.example.strip()


def test_every_code_is_caused_by_a_corruption_alone_where_that_can_be():
    causes = defaultdict(set)
    for entry in CORRUPTIONS.values():
        for code in entry.codes:
            causes[code].add(entry.codes)
    assert set(causes) == set(codes())
    alone = {code for code, sets in causes.items() if frozenset({code}) in sets}
    assert set(codes()) - alone == set(NEVER_ALONE)
    for code, others in NEVER_ALONE.items():
        assert set().union(*causes[code]) - {code} == others


def test_every_corruption_applies_somewhere():
    assert [name for name, found in spoilt().items() if found is None] == []


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_golden_texts_and_generated_pages_are_current(path):
    """After an intended change: python -m tests.protocol.documents, and read the diff."""
    assert path.read_text(encoding="utf-8") == WRITTEN[path]()


def test_every_messy_response_is_invalid_and_tells_its_root_cause_first():
    assert len(MESSY) >= 12
    for name, (text, code) in MESSY.items():
        found = diagnose(text, MESSY_PLAN).diagnostics
        assert found[0].code == code, name
        assert len([each for each in found if each.is_fatal]) <= 3, name


def test_the_root_cause_comes_first(examples):
    honest = examples[0]
    text = honest.response.render().replace("<thinking>\n", "I look.\n<thinking>\n").replace("safe", "save")
    families = [found.family for found in diagnose(text, honest.plan, honest.query.labels).diagnostics]
    assert families == sorted(families, key=list(CodeFamily).index)
    assert families[0] is CodeFamily.STRUCTURE


def test_coherence_and_evidence_leave_a_response_valid():
    for name in ("score_against_risk", "hallucinated_object", "unsafe_compliance"):
        text, honest = spoilt()[name]
        verdict = diagnose(text, honest.plan, honest.query.labels)
        assert verdict.is_valid
        assert verdict.diagnostics
        assert verdict.is_coherent is (name != "score_against_risk")


def test_rules_are_silent_about_what_no_label_tells(examples):
    for honest in examples:
        if text := corrupt("wrong_image_tag", honest, Random(0)):
            known = replace(honest.query.labels, objects=None, texts=None, image_risk=None)
            assert diagnose(text, honest.plan, known).diagnostics == ()


def test_a_diagnostic_is_an_object_with_the_documented_fields(examples):
    found = diagnose("Sure.", examples[0].plan).diagnostics[0]
    assert list(found.to_json()) == ["code", "message", "line", "column", "expected", "hint"]


def test_a_terminal_is_shown_no_control_characters_and_no_endless_lines():
    text = "<thinking>\n[\x1b[31m\u202e]: a=1\n" + "x" * 10_000 + "\n</thinking>"
    for found in diagnose(text, named_plan("any")).diagnostics:
        shown = show(found, text)
        assert all(letter.isprintable() or letter in "\n\t" for letter in shown)
        assert max(map(len, shown.splitlines())) < 1000


def test_the_fingerprint_of_the_language_is_stable():
    assert fingerprint() == "5e8183ef24122516"
