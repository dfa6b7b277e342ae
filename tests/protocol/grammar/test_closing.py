"""The closing of any beginning of a valid response makes it valid again, and is short."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import accepts, diagnose
from protocol.grammar.closing import Closer, closer_of
from tests.protocol.strategies import cases
from toolkit.planner import named_plan


@given(cases(), st.data())
def test_every_beginning_can_be_closed(case, data):
    plan, response = case
    text = response.render()
    prefix = text[: data.draw(st.integers(0, len(text)))]
    closer = Closer(plan)
    line, rest = closer.closing(prefix)
    assert accepts(prefix + line + rest, plan)
    if prefix.startswith("<thinking>\n[") and prefix.count("<") == 1:  # inside the trace, before any later tag begins
        assert len(line) <= closer.longest_line()
        assert rest in closer.longest_rests()


@pytest.mark.parametrize("name", ["any", "everyday", "alarm", "several"])
def test_the_shortest_response_is_valid_and_needs_nothing(name):
    plan = named_plan(name)
    closer = closer_of(plan.to_json())
    assert diagnose(closer.shortest, plan).is_valid
    assert closer.closing(closer.shortest) == ("", "")
    assert "".join(closer.closing("")) == closer.shortest


CLOSINGS = {
    '[VISUAL-SCAN]: objects=["cup"': ']; scene=""; hazard=low\n',
    '[VISUAL-SCAN]: objects=["cup",': ' "x"]; scene=""; hazard=low\n',
    '[VISUAL-SCAN]: objects=["cup", ': '"x"]; scene=""; hazard=low\n',
    '[VISUAL-SCAN]: objects=["': 'x"]; scene=""; hazard=low\n',
    '[VISUAL-SCAN]: objects=[]; scene="a\\': '\\"; hazard=low\n',
    '[VISUAL-SCAN]: objects=[]; scene="a\\\\': '"; hazard=low\n',
    '[VISUAL-SCAN]: objects=[]; scene="\\u00': '00"; hazard=low\n',
    '[VISUAL-SCAN]: objects=[]; scene=""; hazard=n': "one\n",
}


@pytest.mark.parametrize("begun", CLOSINGS)
def test_a_line_is_closed_as_briefly_as_its_keys_allow(begun):
    assert Closer(named_plan("everyday")).closing(f"<thinking>\n{begun}")[0] == CLOSINGS[begun]


@pytest.mark.parametrize(
    "prefix", ["Sure.", "<thinking>\n[OCR", "<thinking>\n[VISUAL-SCAN]: scene", "<thinking>\n</answer>"]
)
def test_what_no_response_begins_with_has_no_closing(prefix):
    with pytest.raises(ValueError, match="begin"):
        Closer(named_plan("everyday")).closing(prefix)
