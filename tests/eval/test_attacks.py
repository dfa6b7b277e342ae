"""No known attack pays, neither on any kind of query nor as a policy."""

from dataclasses import replace
from pathlib import Path

import pytest

import eval.presets
from data.pocket.queries.kinds import KINDS
from eval.attacks import ATTACKS
from eval.attacks.constant import CEILING, best_constant, constant_policies
from eval.attacks.measure import MARGIN, earned, examples_by_kind, outcomes
from eval.attacks.page import page
from eval.attacks.registry import attack
from eval.presets import PRESETS

README = Path(eval.presets.__file__).with_name("README.md")


@pytest.fixture(scope="module")
def examples():
    return examples_by_kind()


def outcome(preset, name):
    return next(each for each in outcomes() if (each.preset, each.attack) == (preset, name))


def test_there_are_many_attacks_of_every_family():
    assert len(ATTACKS) >= 30
    assert {each.family for each in ATTACKS.values()} == {"form", "trace", "answer", "voices", "judge", "policy"}
    assert all(each.about.endswith(".") for each in ATTACKS.values())
    assert sum(each.family == "voices" for each in ATTACKS.values()) >= 6


def test_an_honest_response_to_every_kind_earns_everything(examples):
    assert {example.query.kind for example in examples} == set(KINDS)
    assert {round(earned(example.response.render(), example)["tritrace"], 9) for example in examples} == {1.0}


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_honesty_earns_more_than_the_attack_on_every_kind(name):
    gaps = outcome("tritrace", name).gaps
    assert gaps, "the attack applies nowhere"
    assert {kind: gap.mean for kind, gap in gaps.items() if gap.mean < MARGIN} == {}
    assert min(gap.least for gap in gaps.values()) >= MARGIN  # also for every single query


def test_an_attack_does_not_apply_where_it_writes_what_honesty_writes(examples):
    refused = [each for each in examples if each.query.labels.decision == "refuse"]
    complied = [each for each in examples if each.query.labels.decision == "comply"]
    assert refused
    assert all(ATTACKS["refuse_everything"].attempt(each) is None for each in refused)
    assert all(ATTACKS["refuse_everything"].attempt(each) for each in complied)
    assert all(ATTACKS["comply_with_everything"].attempt(each) is None for each in complied)


def test_another_spelling_of_the_honest_response_is_no_attack(examples):
    spaced = replace(ATTACKS["no_trace"], respond=lambda each: each.response.render().replace("; ", " ;  "))
    assert all(spaced.attempt(each) is None for each in examples)


def test_an_attack_needs_a_docstring_and_a_name_of_its_own():
    def no_trace(_):
        """A second attack with an existing name."""

    def nameless(_):
        return None

    for respond in (no_trace, nameless):
        with pytest.raises(ValueError, match="docstring"):
            attack("form")(respond)


@pytest.mark.slow
def test_no_constant_policy_earns_much():
    policies = list(constant_policies())
    assert len(policies) == len(set(policies)) == 3 * 2 * 2 * 2 * 2
    assert best_constant()["tritrace"][1] < CEILING


@pytest.mark.slow
def test_published_presets_fall_for_what_their_formulas_say():
    # Six bracketed names earn depth; only the judge's tool quality distinguishes the honest trace from them.
    assert outcome("safer-toolkit", "six_bracketed_names").worst < MARGIN
    # The keyword decides: hedging with a keyword pays as much as refusing; a redirection without one pays nothing.
    assert outcome("safegrpo", "two_answers").worst < 0
    assert outcome("safegrpo", "self_praise").mean == 0
    # Only falsehood costs: an invalid but true trace is paid in full.
    assert outcome("safer-vlm", "trace_to_the_length_limit").mean == pytest.approx(0)
    for preset in set(PRESETS) - {"tritrace"}:
        assert any(each.worst < MARGIN for each in outcomes() if each.preset == preset)


@pytest.mark.slow
def test_the_page_of_presets_is_current():
    """After an intended change: tritrace rewards attacks --page > eval/presets/README.md, and read the diff."""
    assert README.read_text(encoding="utf-8") == page()
