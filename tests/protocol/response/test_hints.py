"""A hint helps: its suggested text is valid, and it names the fault correctly."""

import pytest

from protocol import diagnose, read
from protocol.response.reader import read as read_text
from tests.protocol.documents import HONEST, MESSY_PLAN

CATEGORY = MESSY_PLAN.by_name["RISK-SCORER"].key("category")
PROSE = """<thinking>
[VISUAL-SCAN]: I see a kettle and a knife.
[INTENT-RADAR]: The user wants to clean the knife.
[RISK-SCORER]: There is no risk here.
[SAFETY-GATE]: comply
</thinking>
<answer>
Use warm soapy water.
</answer>"""


def found_in(text):
    return [(each.code, each.message, each.hint) for each in diagnose(text, MESSY_PLAN).diagnostics]


@pytest.mark.parametrize("written", ['"illegal activity"', '"thefts"', "illegal_activity", "vilence", '"theft"'])
def test_the_hint_for_a_word_is_a_word_that_is_valid(written):
    ((_, _, hint),) = found_in(HONEST.replace("category=none", f"category={written}"))
    assert any(f" {word}" in f"{hint.replace('?', '').replace(',', '')}" for word in CATEGORY.type.words)
    assert "illegal" not in hint


def test_a_comma_between_pairs_wants_a_semicolon():
    ((code, _, hint),) = found_in(HONEST.replace("; hazard", ", hazard"))
    assert code == "S105"
    assert ";" in hint
    assert "comma" in hint


@pytest.mark.parametrize(
    "debris", ["<|im_start|>", "<|im_end|>", "<think>Hm.</think>", "</s>", "[/INST]", "<|eot_id|>", "<start_of_turn>"]
)
@pytest.mark.parametrize("is_before", [True, False])
def test_what_a_chat_template_leaves_is_named_as_such(debris, is_before):
    ((code, _, hint),) = found_in(f"{debris}\n{HONEST}" if is_before else f"{HONEST}\n{debris}")
    assert code == "S104"
    assert "chat template" in hint
    assert "move it into the answer" not in hint


@pytest.mark.parametrize(("name", "code"), [("thinking", "S101"), ("answer", "S102")])
@pytest.mark.parametrize("spelling", ["{}", " {} "])
def test_a_block_in_another_spelling_is_one_fault_and_what_it_holds_is_checked(name, code, spelling):
    other = spelling.format(name.capitalize())
    text = HONEST.replace(f"<{name}>", f"<{other}>").replace(f"</{name}>", f"</{name.capitalize()}>")
    ((found, _, hint),) = found_in(text)
    assert found == code
    assert f"write <{name}> and </{name}> instead of <{other}>" in hint
    assert [each[0] for each in found_in(text.replace("hazard=low", "hazard=lo"))] == [code, "T207"]


def test_a_tag_in_another_spelling_within_a_block_that_is_spelt_right_is_text():
    text = HONEST.replace("Use warm", "Write <Answer> and </Answer>; use warm")
    assert diagnose(text, MESSY_PLAN).is_valid
    assert "</Answer>" in read_text(text).answer


def test_calls_in_words_are_one_finding_a_trace():
    ((code, message, hint),) = found_in(PROSE)
    assert (code, message) == (
        "S105",
        "this plan types its calls; 4 calls are written in words, such as VISUAL-SCAN",
    )
    assert "key" in hint
    assert [call.name for call in read(PROSE).calls] == ["VISUAL-SCAN", "INTENT-RADAR", "RISK-SCORER", "SAFETY-GATE"]


def test_a_call_that_states_nothing_still_lacks_its_keys():
    assert [each[0] for each in found_in(HONEST.replace(' decision=comply; reason="an everyday task"', ""))] == ["T203"]
