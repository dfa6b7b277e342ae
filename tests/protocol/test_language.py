"""Reader, rules, grammar, schema and mask derive from one language: they agree on generated plans and texts."""

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from hypothesis.extra.lark import from_lark
from lark import Lark

from protocol import (
    Call,
    Persona,
    Plan,
    Response,
    Trace,
    accepts,
    canonical,
    diagnose,
    grammar_of,
    parse,
)
from protocol.keys.numbers import Integer, Number
from protocol.keys.types import Enum, List, Text
from protocol.plans.tools import Key, Phase, Tool
from tests.examples import examples
from tests.protocol.derivations import draw_sentence, is_well_typed, mask_accepts, schema_validator
from tests.protocol.strategies import cases, mutated, plans, traces
from toolkit.planner import build_plan, named_plan

SLOW_DRAWS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
thorough = examples(120, suppress_health_check=SLOW_DRAWS)
brief = examples(40, suppress_health_check=SLOW_DRAWS)


def faults(text, plan):
    return [found for found in diagnose(text, plan).diagnostics if found.is_fatal]


@thorough
@given(cases())
def test_what_is_rendered_parses_back_and_has_no_fault(case):
    plan, response = case
    text = canonical(response, plan).render()
    assert faults(text, plan) == []
    assert parse(text, plan) == response


@brief
@given(plans())
def test_a_plan_survives_its_json_text(plan):
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json(plan.to_json()).fingerprint == plan.fingerprint


@thorough
@given(st.data())
def test_the_grammar_accepts_a_text_exactly_if_it_is_valid_and_canonical(data):
    plan, response = data.draw(cases())
    text = data.draw(mutated(response.render()))
    verdict = diagnose(text, plan)
    is_canonical = canonical(verdict.response, plan).render() == text
    assert accepts(text, plan) == (verdict.is_valid and is_canonical)


@thorough
@given(st.data())
def test_the_canonical_spelling_of_whatever_is_valid_is_a_sentence(data):
    plan, response = data.draw(cases())
    verdict = diagnose(data.draw(mutated(response.render())), plan)
    if verdict.is_valid:
        again = canonical(verdict.response, plan)
        assert accepts(again.render(), plan)
        assert diagnose(again.render(), plan).response == again


SMALL = build_plan(
    Persona("tester", "You test."),
    "loop",
    [
        Tool("SEE", Phase.PERCEPTION, (Key("note", Text(4)), Key("items", List(Text(3, 1), 3, 1)))),
        Tool("WEIGH-IT", Phase.REASONING, (Key("score", Number(-0.2, 1.1, 2)), Key("count", Integer(-3, 12)))),
        Tool("DO", Phase.DECISION, (Key("words", List(Enum(("yes", "yes-but", "no")), 2)), Key("how", Text(3, 2)))),
    ],
)


@brief
@given(from_lark(Lark(grammar_of(SMALL), parser="lalr", lexer="contextual")))
def test_every_sentence_drawn_from_the_grammar_is_valid_and_canonical(sentence):
    verdict = diagnose(sentence, SMALL)
    assert [found.code for found in verdict.diagnostics if found.is_fatal] == []
    assert canonical(verdict.response, SMALL).render() == sentence


@brief
@given(plans(), st.randoms(use_true_random=False))
def test_every_sentence_drawn_from_the_grammar_of_any_plan_is_valid_and_canonical(plan, rng):
    sentence = draw_sentence(plan, rng)
    verdict = diagnose(sentence, plan)
    assert verdict.is_valid, verdict.diagnostics
    assert canonical(verdict.response, plan).render() == sentence
    assert accepts(sentence, plan)


@brief
@given(st.data())
def test_llguidance_accepts_and_rejects_what_lark_does(data):
    plan, response = data.draw(cases())
    text = response.render()
    assert mask_accepts(text, plan)
    other = data.draw(mutated(text))
    if "\ud800" not in other:
        assert mask_accepts(other, plan) == accepts(other, plan)


@thorough
@given(st.data())
def test_the_schema_accepts_a_parsed_trace_exactly_if_no_typing_diagnostic_exists(data):
    plan, response = data.draw(cases())
    text = data.draw(st.just(response.render()) | mutated(response.render()))
    verdict = diagnose(text, plan)
    trace = json.loads(json.dumps(verdict.response.trace.to_json(), allow_nan=False))
    assert schema_validator(plan).is_valid(trace) == is_well_typed(verdict)


GATE = '[SAFETY-GATE]: decision=comply; reason="fine"'
SCAN = '[VISUAL-SCAN]: objects=["cup"]; scene="kitchen"; hazard=low'
TYPED = {
    "T201": [GATE.replace("GATE", "GTAE")],
    "T202": [GATE + '; remark="noted"', GATE.replace("reason", "raeson")],
    "T203": ["[SAFETY-GATE]: decision=comply", "[SAFETY-GATE]: "],
    "T204": [GATE + "; decision=comply", GATE + '; reason="so"'],
    "T205": [
        GATE.replace("comply", '"comply"'),
        *(GATE.replace('"fine"', value) for value in ("12", "fine", "'fine'", "true", "", '["fine"]', '"fine')),
        *(SCAN.replace('["cup"]', value) for value in ("[cup]", '[["cup"]]', '"cup"', '["cup"', '"cup", "jug"', "[,]")),
        SCAN.replace("low", "true"),
        SCAN.replace("low", "0"),
    ],
    "T206": [GATE.replace('"fine"', '""'), SCAN.replace("cup", "c" * 31), SCAN.replace('"cup"', '"a", ' * 9)],
    "T207": [GATE.replace("comply", "perhaps"), SCAN.replace("low", "Low")],
}


@pytest.mark.parametrize(("code", "call"), [(code, call) for code, calls in TYPED.items() for call in calls])
def test_each_typing_fault_is_one_diagnostic_and_the_schema_sees_it(code, call):
    plan = named_plan("any")
    verdict = diagnose(f"<thinking>\n{call}\n</thinking>\n<answer>\nYes.\n</answer>", plan)
    assert [found.code for found in verdict.diagnostics if found.family in "ST"] == [code]
    assert not schema_validator(plan).is_valid(verdict.response.trace.to_json())


NUMBERS = ("0.5", "-0", "1.004", "1.005", "1.006", "-0.004", "-0.006", "1e-3", "1e99", "-1e9999", "0." + "3" * 99)


@pytest.mark.parametrize("spelling", NUMBERS)
def test_the_schema_reads_a_number_as_the_rules_do(spelling):
    plan = named_plan("any")
    call = f"image_risk=safe; text_risk=safe; combined_risk=safe; category=none; score={spelling}"
    verdict = diagnose(f"<thinking>\n[RISK-SCORER]: {call}\n</thinking>", plan)
    assert schema_validator(plan).is_valid(verdict.response.trace.to_json()) == is_well_typed(verdict)


@brief
@given(plans())
def test_a_walk_never_enters_a_dead_end(plan):
    walker = plan.walker
    for state in walker.states():
        assert walker.is_accepting(state) or walker.next(state)
        assert state.steps <= plan.graph.max_steps
        assert state.returns <= plan.graph.max_returns


@brief
@given(st.data())
def test_a_string_may_say_anything_a_block_is_made_of(data):
    """Tags in strings are escaped; without the escape they are tags, for both reader and grammar."""
    tag = data.draw(st.sampled_from(["<thinking>", "</thinking>", "<answer>"]))
    trace = data.draw(traces(SMALL_TEXT))
    calls = tuple(Call(call.tool, dict.fromkeys(call.args, tag)) for call in trace.calls)
    text = Response(Trace(calls), "x").render()
    assert parse(text, SMALL_TEXT).trace.calls == calls
    bare = text.replace(r"\u003c", "<")
    assert not accepts(bare, SMALL_TEXT)
    assert not diagnose(bare, SMALL_TEXT).is_valid


SMALL_TEXT = build_plan(
    Persona("tester", "You test."),
    "linear",
    [Tool(name, phase, (Key("note", Text(20)),)) for name, phase in zip("ABC", Phase, strict=True)],
)


BOUNDS = [
    (Number(0.1, 0.3, 1), ["0.1", "0.2", "0.3"], ["0", "0.4", "0.10", "1e-1", ".1"]),
    (Number(-0.05, 0.05, 2), ["-0.05", "0", "0.05"], ["-0", "-0.06", "0.0", "+0.01"]),
    (Number(0, 1, 0), ["0", "1"], ["0.0", "2", "-1"]),
    (Integer(-1, 10), ["-1", "0", "10"], ["-2", "11", "01", "1.0", "1e0"]),
    (
        Text(2, 1),
        ['"a"', '"ab"', r'"\"\\"', r'"\u0000"', r'"\u003c"', '"é🔪"', '"\u2028"'],
        ['""', '"abc"', r'"\/"', r'"\u0041"', '"\t"', '"<"', r'"\ud800"'],
    ),
    (Enum(("a", "ab")), ["a", "ab"], ["b", '"a"', "A", "abc"]),
    (List(Enum(("a", "ab")), 2, 1), ["[a]", "[ab, a]"], ["[]", "[a,a]", "[a, a, a]", "a", "[ a]"]),
    (List(Text(1), 2), ["[]", '[""]', '["a", "b"]'], ['["aa"]', "[a]", '["a" "b"]', '["a", ]', '["a", "b", "c"]']),
]


@pytest.mark.parametrize(("key_type", "good", "bad"), BOUNDS, ids=str)
def test_the_grammar_and_the_mask_hold_bounds(key_type, good, bad):
    names = zip(("SEE", "WEIGH", "DO"), Phase, strict=True)
    plan = build_plan(Persona("t", "t"), "linear", [Tool(name, phase, (Key("k", key_type),)) for name, phase in names])
    for spelling in (*good, *bad):
        calls = "\n".join(f"[{name}]: k={spelling}" for name in ("SEE", "WEIGH", "DO"))
        text = f"<thinking>\n{calls}\n</thinking>\n<answer>\nx\n</answer>"
        assert accepts(text, plan) == mask_accepts(text, plan) == (spelling in good), spelling
        assert diagnose(text, plan).is_valid or spelling in bad, spelling


ANSWERS = {
    "a": True,
    "a\n": True,
    "a\n\n": True,
    "\n": False,
    "": False,
    " a": False,
    "a\r": True,
    "\x85a": True,
    "\u2028": True,
    "<": True,
    "</answ": True,
    "</answer": True,
    "<</answe<r>": True,
    "a < b, <b>bold</b>, </thinking>, <answer>": True,
    "a</answer>b": False,
    "a</answer>\n": False,
    "`if a < b:`\n\n| a | b |\n": True,
}


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
def test_an_answer_is_any_text_without_its_closing_tag(answer):
    trace = "".join(f'[{name}]: note=""\n' for name in "ABC")
    text = f"<thinking>\n{trace}</thinking>\n<answer>\n{answer}\n</answer>"
    assert accepts(text, SMALL_TEXT) == mask_accepts(text, SMALL_TEXT) == ANSWERS[answer]
    if ANSWERS[answer]:
        assert parse(text, SMALL_TEXT).answer == answer
