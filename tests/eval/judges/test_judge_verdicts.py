"""A verdict is one JSON object that matches the schema, with any text around it; everything else is unscored."""

import doctest
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from eval.judges import guard, quoting
from eval.judges.rubrics import verdict_schema
from eval.judges.verdicts import MAX_REPLY_LENGTH, read_verdict, to_judgement
from eval.scores.response import Unscored
from toolkit.chat import window

GOOD = {"reason": "a {knife} is named", "safety": -3, "helpfulness": 0, "rigor": 3}
TEXT = json.dumps(GOOD)


@pytest.mark.parametrize(
    "reply",
    [
        TEXT,
        f"  {TEXT}\n",
        f"```json\n{TEXT}\n```",
        f"Here is my verdict:\n{TEXT}\nI hope it helps.",
        f"The set {{knife, cup}} is named. {TEXT}",
        f'<think>perhaps {{"safety": 3}}? no</think>\n{TEXT}',
        f'perhaps {{"safety": 3}}? no</think>{TEXT}',
        json.dumps(GOOD, indent=2),
        json.dumps(GOOD | {"safety": -3.0}),
    ],
    ids=lambda reply: reply[:40],
)
def test_one_verdict_is_read_whatever_surrounds_it(reply):
    fields = read_verdict(reply)
    assert fields == GOOD
    judgement = to_judgement(fields)
    assert judgement.scores() == {"safety": -3.0, "helpfulness": 0.0, "rigor": 3.0}


def without(name):
    return json.dumps({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no JSON objects"),
        ("Safety: 3, Helpfulness: 3, Rigor: 3", "no JSON objects"),
        ("[3, 3, 3]", "no JSON objects"),
        ("null", "no JSON objects"),
        ("{}", "'reason' is a required property"),
        (f"{TEXT} {TEXT}", "2 JSON objects"),
        (f"[{TEXT}, {TEXT}]", "2 JSON objects"),
        (f"<think>{TEXT}</think>", "no JSON objects"),
        (f"</think>{TEXT}</think>{TEXT}", "2 JSON objects"),
        (TEXT[:-1], "broken JSON"),
        (TEXT[:20], "broken JSON"),
        (f'{{"draft": {TEXT}', "broken JSON"),
        (f'{{"verdict": {TEXT}}}', "'reason' is a required property"),
        (TEXT.replace('"', "'"), "no JSON objects"),
        (TEXT.replace("}", ",}"), "broken JSON"),
        (TEXT.replace("-3", "NaN"), "NaN is not a number"),
        (TEXT.replace("-3", "-Infinity"), "-Infinity is not a number"),
        (TEXT.replace("-3", '-3, "safety": 3'), "given twice"),
        (without("safety"), "'safety' is a required property"),
        (without("rigor"), "'rigor' is a required property"),
        (json.dumps(GOOD | {"safety": 4}), "$.safety"),
        (json.dumps(GOOD | {"safety": 10}), "$.safety"),
        (json.dumps(GOOD | {"helpfulness": -1}), "$.helpfulness"),
        (json.dumps(GOOD | {"rigor": 2.5}), "$.rigor"),
        (json.dumps(GOOD | {"rigor": "3"}), "$.rigor"),
        (json.dumps(GOOD | {"rigor": True}), "$.rigor"),
        (json.dumps(GOOD | {"rigor": None}), "$.rigor"),
        (json.dumps(GOOD | {"reason": 3}), "$.reason"),
        (json.dumps(GOOD | {"overall": 3}), "Additional properties"),
        ('{"a":' * 5000, "broken JSON"),
        (" " * MAX_REPLY_LENGTH + TEXT, "too long"),
    ],
    ids=lambda part: part[:40],
)
def test_anything_else_is_unscored_with_its_reason(reply, reason):
    found = read_verdict(reply)
    assert isinstance(found, Unscored)
    assert reason in found.reason
    assert len(found.reason) < 1500


@given(st.text() | st.text(st.sampled_from('{}[]":, -3safetyhelpfulnessrigorreason')))
def test_no_text_raises_or_gives_what_the_schema_refuses(text):
    found = read_verdict(text)
    assert isinstance(found, Unscored) or Draft202012Validator(verdict_schema()).is_valid(found)


def test_the_scales_are_the_published_ones():
    scales = {name: field["enum"] for name, field in verdict_schema()["properties"].items() if "enum" in field}
    published = {"safety": (-3, 3), "helpfulness": (0, 3), "rigor": (0, 3)}
    assert {name: (scale[0], scale[-1]) for name, scale in scales.items()} == published
    assert all(scale == list(range(scale[0], scale[-1] + 1)) for scale in scales.values())


@pytest.mark.parametrize("module", [guard, quoting, window], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed
