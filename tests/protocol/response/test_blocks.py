"""How a response is cut into blocks: what is read from a damaged one, and where exactly each fault is told."""

import pytest

from protocol import read

CALL = '[SAFETY-GATE]: decision=comply; reason="so"'
THINKING = f"<thinking>\n{CALL}\n</thinking>\n"
ANSWER = "<answer>\nYes.\n</answer>"
ONLY_THINKING, ONLY_ANSWER = "only one thinking block", "only one answer block"


def faults_of(text):
    """Return name, the text from the place on (ten characters), message and expectation of every fault."""
    return [(each.name, text[each.start :][:10], each.message, each.expected) for each in read(text).faults]


def names(text):
    return [call.name for call in read(text).calls]


def test_a_response_as_it_should_be():
    reading = read(THINKING + ANSWER)
    assert (reading.has_thinking, reading.is_cut_off, reading.outside, reading.faults) == (True, False, "", [])
    assert (reading.answer, reading.answer_start) == ("Yes.", len(THINKING) + len("<answer>\n"))


@pytest.mark.parametrize(
    ("inside", "answer"),
    [
        ("Yes.", "Yes."),
        ("\n\n \tYes.\n", "Yes."),
        ("\r\nYes.\n\n", "Yes.\n"),  # the last newline belongs to the tag, those before it to the answer
        ("\n  Yes.  ", "Yes.  "),
        ("A", "A"),
        ("\nB\n", "B"),
    ],
)
def test_blanks_before_an_answer_and_the_newline_behind_it_are_not_part_of_it(inside, answer):
    text = f"{THINKING}<answer>{inside}</answer>"
    reading = read(text)
    assert reading.answer == answer
    assert text[reading.answer_start :].startswith(answer)
    assert reading.faults == []


@pytest.mark.parametrize("inside", ["", "\n", " \n\t"])
def test_an_answer_of_blanks_is_empty(inside):
    text = f"{THINKING}<answer>{inside}</answer>"
    assert faults_of(text) == [("empty-answer", "</answer>", "the answer block is empty", "an answer for the user")]
    assert read(text).answer == ""


@pytest.mark.parametrize("inside", ["", "\n", " \n\t"])
def test_an_answer_that_is_cut_off_before_its_first_word_is_empty(inside):
    text = f"{THINKING}<answer>{inside}"
    assert [(name, told) for name, _, told, _ in faults_of(text)] == [
        ("unclosed-block", "<answer> is not closed before the end of the response"),
        ("empty-answer", "the answer block is empty"),
    ]
    assert (read(text).answer, read(text).answer_start) == ("", len(text))


def test_text_outside_is_told_where_it_begins_and_joined():
    text = f" \nOh.\n{THINKING} and \n{ANSWER}\n {'x' * 50} "
    assert read(text).outside == "Oh.\nand\n" + "x" * 50
    assert [fault[:3] for fault in faults_of(text)] == [
        ("text-outside", f"Oh.\n{THINKING}"[:10], "text outside the blocks: 'Oh.'"),
        ("text-outside", "and \n<answ", "text outside the blocks: 'and'"),
        ("text-outside", "x" * 10, f"text outside the blocks: '{'x' * 40}'"),
    ]
    assert {fault[3] for fault in faults_of(text)} == {"nothing but the two blocks"}


def test_a_text_without_blocks_is_no_text_outside():
    reading = read("Sure.")
    assert (reading.outside, reading.visible_answer, reading.has_thinking) == ("Sure.", "Sure.", False)
    assert faults_of("Sure.") == [
        ("no-thinking", "Sure.", "there is no thinking block", "<thinking>"),
        ("no-answer", "", "there is no answer block", "<answer>...</answer> after the trace"),
    ]
    assert len(read(f"Sure.\n{ANSWER}").faults) == 2  # beside an answer it is


def test_a_response_that_ends_within_a_block_is_cut_off_only_in_the_trace():
    text = f"<thinking>\n{CALL}\n"
    told = ("unclosed-block", "<thinking>", "<thinking> is not closed before the end of the response", "</thinking>")
    assert faults_of(text)[0] == told
    assert (read(text).is_cut_off, read(text).has_thinking, names(text)) == (True, True, ["SAFETY-GATE"])
    text = THINKING + "<answer>\nYes."
    told = ("unclosed-block", "<answer>\nY", "<answer> is not closed before the end of the response", "</answer>")
    assert faults_of(text) == [told]
    assert (read(text).is_cut_off, read(text).answer) == (False, "Yes.")


def test_a_trace_that_the_answer_interrupts_ends_there():
    text = f"<thinking>\n{CALL}\n{ANSWER}"
    assert faults_of(text) == [
        ("unclosed-block", "<thinking>", "<thinking> is not closed before <answer>", "</thinking>")
    ]
    assert (names(text), read(text).answer, read(text).is_cut_off) == (["SAFETY-GATE"], "Yes.", False)


@pytest.mark.parametrize(("broken", "name"), [("thinking>", "thinking"), ("</thinking", "thinking")])
def test_the_remains_of_a_closing_tag_are_not_read_as_a_call(broken, name):
    text = f"<thinking>\n{CALL}\n{broken}\n{ANSWER}"
    assert [fault[0] for fault in faults_of(text)] == ["unclosed-block"]
    assert names(text) == ["SAFETY-GATE"]
    assert name in broken
    beside = f"<thinking>\n{CALL}\nI say {broken}\n{ANSWER}"  # a line with more on it is a line of the trace
    assert [fault[0] for fault in faults_of(beside)] == ["unclosed-block", "malformed-call"]


@pytest.mark.parametrize("broken", ["<answer", "answer>", "/answer>"])
def test_the_remains_of_a_closing_tag_are_not_part_of_an_answer(broken):
    assert read(f"{THINKING}<answer>\nYes.\n{broken}").answer == "Yes."
    assert read(f"{THINKING}<answer>\nYes.\n{broken}\n").answer == "Yes."


@pytest.mark.parametrize("opening", ["", "<thinking\n", "thinking>\n", "  <thinking  \n"])
def test_text_before_a_closing_tag_without_an_opening_one_was_meant_as_the_block(opening):
    text = f"{opening}{CALL}\n</thinking>\n{ANSWER}"
    told = ("unclosed-block", "</thinking", "</thinking> without <thinking>", "<thinking> before the block")
    assert faults_of(text) == [told]
    assert (names(text), read(text).has_thinking, read(text).outside) == (["SAFETY-GATE"], True, "")


def test_an_answer_without_its_opening_tag_begins_behind_the_trace():
    for opening in ("", "answer>\n"):
        text = f"{THINKING}{opening}Yes.\n</answer>"
        told = ("unclosed-block", "</answer>", "</answer> without <answer>", "<answer> before the block")
        assert faults_of(text) == [told]
        assert (read(text).answer, read(text).outside) == ("Yes.", "")


def test_a_closing_tag_that_closes_nothing_leaves_the_text_before_it_outside():
    text = f"{THINKING}{ANSWER}More.</answer>"
    assert faults_of(text) == [
        ("misplaced-block", "</answer>", "</answer> closes nothing", ONLY_ANSWER),
        ("text-outside", "More.</ans", "text outside the blocks: 'More.'", "nothing but the two blocks"),
    ]
    assert read(text).answer == "Yes."
    text = f"{THINKING}</thinking>\n{ANSWER}"
    assert faults_of(text) == [("misplaced-block", "</thinking", "</thinking> closes nothing", ONLY_THINKING)]
    text = f"{THINKING}</thinking>Yes.\n</answer>"  # the next block begins behind it
    assert read(text).answer == "Yes."


def test_the_first_block_of_a_kind_counts():
    text = f"{THINKING}{ANSWER}\n<answer>\nNo.\n</answer>"
    assert faults_of(text) == [("misplaced-block", "<answer>\nN", "a second answer block", ONLY_ANSWER)]
    assert read(text).answer == "Yes."
    text = f"{THINKING}<thinking>\n[OTHER]: a=1\n</thinking>\n{ANSWER}"
    assert faults_of(text) == [("misplaced-block", "<thinking>", "a second thinking block", ONLY_THINKING)]
    assert names(text) == ["SAFETY-GATE"]


def test_a_block_in_a_block_is_told_once():
    inner = "a second <thinking> inside the thinking block"
    text = f"<thinking>\n<thinking>\n{CALL}\n</thinking>\n{ANSWER}"
    assert faults_of(text)[0] == ("misplaced-block", "<thinking>", inner, "</thinking>")
    assert text[read(text).faults[0].start - 1] == "\n"
    assert names(text) == ["SAFETY-GATE"]
    quoted = f"{THINKING}<answer>\nWrite <thinking> and </thinking> and <answer>.\n</answer>"
    assert read(quoted).faults == []
    assert read(quoted).answer == "Write <thinking> and </thinking> and <answer>."
    closing = f"<thinking>\n{CALL}\n</answer>\n</thinking>\n{ANSWER}"
    assert (names(closing), read(closing).answer) == (["SAFETY-GATE"], "Yes.")
    assert [fault[:2] for fault in faults_of(closing)] == [("malformed-call", "</answer>\n")]


def test_a_trace_behind_the_answer_is_read_and_told():
    text = f"{ANSWER}\n{THINKING}"
    told = ("misplaced-block", "<thinking>", "the thinking block follows the answer", "thinking, then answer")
    assert faults_of(text) == [told]
    assert names(text) == ["SAFETY-GATE"]
    assert [fault[2] for fault in faults_of(f"{THINKING}{ANSWER}\n{THINKING}")] == ["a second thinking block"]


def test_a_trace_without_a_call_is_empty_unless_a_line_was_meant_as_one():
    empty = f"<thinking>\n</thinking>\n{ANSWER}"
    assert faults_of(empty) == [
        ("empty-trace", "<thinking>", "the thinking block has no call", "[TOOL-NAME]: key=value; ...")
    ]
    assert [fault[0] for fault in faults_of(f"<thinking>\nI look.\n</thinking>\n{ANSWER}")] == ["malformed-call"]


def test_a_block_in_another_spelling_is_read_where_none_is_spelt_right():
    text = f"{THINKING}< Answer >\nYes.\n</ANSWER>"
    (fault,) = read(text).faults
    assert (fault.name, fault.start) == ("no-answer", text.index("< Answer >"))
    assert fault.message == "there is no answer block, but one in another spelling: < Answer >"
    assert fault.hint == "write <answer> and </answer> instead of < Answer >"
    assert read(text).answer == "Yes."
    both = f"<Thinking>\n{CALL}\n</Thinking>\n<Answer>\nYes.\n</Answer>"
    assert [fault[0] for fault in faults_of(both)] == ["no-thinking", "no-answer"]
    assert (names(both), read(both).answer) == (["SAFETY-GATE"], "Yes.")
    before = f"<Thinking>\n{CALL}\n</Thinking>\n{ANSWER}"
    assert (names(before), read(before).answer) == (["SAFETY-GATE"], "Yes.")
    far = f"{THINKING}<{' ' * 9}answer>\nYes.\n</answer>"  # nine blanks are too many for a tag
    assert "another spelling" not in str(read(far).faults)


@pytest.mark.parametrize(
    ("outside", "hint"),
    [
        ("```", "leave the Markdown fence out"),
        ("Look: ```", "move it into the answer"),
        (
            "<|im_end|>",
            "<|im_end|> belongs to a chat template or another model: cut it off, it is no part of the answer",
        ),
    ],
)
def test_the_hint_says_what_to_do_with_text_outside(outside, hint):
    assert read(f"{THINKING}{ANSWER}\n{outside}").faults[0].hint == hint


def test_the_tag_of_another_model_is_named():
    (missing, _) = read(f"<Think>\n{CALL}\n</Think>\n{ANSWER}").faults[::-1][:2]
    assert missing.hint == "write <thinking> and </thinking> instead of <Think>"
    assert read(ANSWER).faults[0].hint == ""
