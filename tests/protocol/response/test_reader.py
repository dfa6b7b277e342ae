"""The reader accepts any text, finds everything in it, and takes linear time."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import Labels, accepts, canonical, diagnose, read
from protocol.diagnostics import show
from protocol.keys.literals import LiteralKind
from protocol.response.calls import MAX_PAIRS
from tests.examples import examples
from tests.protocol.strategies import PIECES
from toolkit.planner import named_plan

ANY = named_plan("any")
LABELS = Labels.from_json({"objects": ["cup"], "texts": [], "image_risk": "safe", "decision": "comply"})


def inside(trace):
    return f"<thinking>\n{trace}\n</thinking>\n<answer>\nYes.\n</answer>"


@examples(300)
@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_text_makes_it_raise(text):
    for each in (text, inside(text)):
        verdict = diagnose(each, ANY, LABELS)
        for found in verdict.diagnostics:
            show(found, each).encode()
        canonical(verdict.response, ANY).render().encode()
        assert verdict.is_valid or not accepts(each, ANY)


N = 30_000
LONG = {
    "one line": "a" * 10 * N,
    "answer": f"<answer>{'a' * 10 * N}",
    "tags": "<thinking>" * N,
    "closing tags": "</thinking>" * N,
    "blocks": "<answer></answer>" * N,
    "attempts": inside("").replace("Yes.", "</answ" * N),
    "brackets": inside("[" * 10 * N),
    "bracket pairs": inside("[]:" * N),
    "semicolons": inside("[A]: " + ";" * N),
    "quotes": inside("[A]: b=" + '"' * 10 * N),
    "escaped quotes": inside('[A]: b="' + '\\"' * N),
    "unclosed strings": inside("[A]: " + 'b="\\";' * N),
    "open lists": inside("[A]: b=" + "[" * 10 * N),
    "items": inside("[SAFETY-GATE]: reason=[" + '"", ' * N),
    "unclosed items": inside("[A]: b=[" + '"\\",' * N),
    "pairs": inside("[A]: " + "b=c;" * N),
    "blanks": inside("[A]: b=" + " " * 10 * N + "c"),
    "blanks in a value": inside("[A]: b=c" + " " * 10 * N + "!"),
    "blanks after a string": inside('[A]: b="c"' + " " * 10 * N + "!"),
    "words": inside("[A]: b=" + "c " * 5 * N + "!"),
    "word": inside("[A]: b=c " + "d" * 10 * N + "!"),
    "swallowed pairs": inside('[A]: b="' + "; c=" * N + '"!'),
    "quoted pairs": inside("[A]: " + 'b="; ' * N + "!"),
    "other quotes": inside("[A]: " + "b='c'd; " * N),
    "open items": inside('[A]: b="c"' + ', "c"' * N),
    "almost calls": inside("**[A]**: b=1\n" * (N // 4)),
    "broken tags": "\n" * 10 * N + "</thinking>" + "\n" * 10 * N + "<thinking>" + "\n" * 10 * N + "thinking>",
    "nested lists": inside("[A]: b=[" + "[[]], " * N),
    "blank lines": inside("\n" * 10 * N),
    "digits": inside("[RISK-SCORER]: score=0." + "1" * 10 * N),
    "prose": inside("I see.\n" * N),
    "bare calls": inside("[A]\n" * N),
    "unknown calls": inside("[A]: b=1\n" * N),
    "known calls": inside("[SAFETY-GATE]: decision=comply\n" * (N // 4)),
}


@pytest.mark.parametrize("blank", ["\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2028", "\u3000"])
def test_a_blank_of_another_kind_is_no_value_and_does_not_hold_the_reader_up(blank):
    text = f"<thinking>\n[VISUAL-SCAN]: objects=[{blank}]; hazard=none{blank}\n</thinking>\n<answer>\nyes\n</answer>"
    (call,) = read(text).calls
    assert [pair.literal.kind for pair in call.pairs][-1] is LiteralKind.UNREADABLE


@pytest.mark.parametrize("name", LONG)
def test_it_finishes_hundreds_of_thousands_of_characters(name):
    """A generous limit: one second becomes an hour with quadratic time."""
    start = process_time()
    assert not diagnose(LONG[name], ANY, LABELS).is_valid
    assert not accepts(LONG[name], ANY)
    assert process_time() - start < 30


def test_reading_twice_as_much_takes_about_twice_as_long():
    def seconds(count):
        text = inside('[SAFETY-GATE]: decision=comply; reason="fine"\n' * count)
        start = process_time()
        read(text)
        return process_time() - start

    seconds(1000)
    assert min(seconds(8000) for _ in range(3)) < 6 * min(seconds(4000) for _ in range(3)) + 0.05


SAFE = '[SAFETY-GATE]: decision=comply; reason="fine"'
FORMS = {
    "CRLF": inside(SAFE).replace("\n", "\r\n"),
    "blank lines and indents": inside(f"\n  {SAFE}\n\n"),
    "spaces within": inside('[SAFETY-GATE] :  decision = comply ;reason= "fine" ;'),
    "another order": inside('[SAFETY-GATE]: reason="fine"; decision=comply'),
    "text around in blanks": f"\n {inside(SAFE)} \n",
}


@pytest.mark.parametrize("form", FORMS)
def test_other_spacing_and_order_are_read_without_a_fault(form):
    reading = read(FORMS[form])
    assert reading.faults == []
    assert {pair.key: pair.literal.text for pair in reading.calls[0].pairs} == {
        "decision": "comply",
        "reason": '"fine"',
    }


FAULTS = {
    "": ["no-answer", "no-thinking"],
    "\ufeff" + inside(SAFE): ["text-outside"],
    inside(SAFE).replace("</thinking>\n", ""): ["unclosed-block"],
    inside(SAFE).replace("<thinking>\n", ""): ["unclosed-block"],
    inside(SAFE).replace("\n</answer>", ""): ["unclosed-block"],
    inside(SAFE).replace("<answer>\n", ""): ["unclosed-block"],
    inside(f"<thinking>\n{SAFE}"): ["misplaced-block"],
    "<answer>\nYes.\n</answer>\n<thinking>\n" + SAFE + "\n</thinking>": ["misplaced-block"],
    inside(SAFE) + inside(SAFE): ["misplaced-block", "misplaced-block"],
    "```\n" + inside(SAFE) + "\n```": ["text-outside", "text-outside"],
    inside(f"I look.\n{SAFE}\nI decide."): ["malformed-call", "malformed-call"],
    inside("［SAFETY-GATE］： decision=comply"): ["malformed-call"],
    inside('[SAFETY-GATE]: decision=comply reason="fine"'): ["malformed-call"],
    inside('[SAFETY-GATE]: decision=comply, reason="fine"'): ["malformed-call"],
    inside('[SAFETY-GATE]: reason="she said "stop" and left"; decision=comply'): ["malformed-call"],
    inside(SAFE.replace("]", "")): ["malformed-call"],
    inside(SAFE.replace("[", "")): ["malformed-call"],
    inside(SAFE.replace(":", "")): ["malformed-call"],
    inside("[SAFETY-GATE]"): ["malformed-call"],
    inside("**[SAFETY-GATE]**: decision=comply"): ["malformed-call"],
    inside("- [SAFETY-GATE]: decision=comply"): ["malformed-call"],
    inside("VISUAL: I see a cat."): ["malformed-call"],
    inside(SAFE).replace("<thinking>", "<thinking"): ["unclosed-block"],
    inside(SAFE).replace("</thinking>", "/thinking>"): ["unclosed-block"],
    inside(SAFE).replace("thinking>", "think>"): ["no-thinking", "text-outside"],
    inside('[SAFETY-GATE]: reason="fine" decision=comply'): ["malformed-call"],
    inside('[SAFETY-GATE]: decision=comply;; reason="fine"'): ["malformed-call"],
    inside(""): ["empty-trace"],
    inside(SAFE).replace("Yes.", ""): ["empty-answer"],
    "Sure.": ["no-answer", "no-thinking"],
}


@pytest.mark.parametrize("text", FAULTS, ids=repr)
def test_each_departure_is_one_fault(text):
    assert sorted(fault.name for fault in read(text).faults) == FAULTS[text]


@pytest.mark.parametrize(
    ("spelling", "kind"),
    [
        ('"a"', LiteralKind.STRING),
        (r'"\ud83d\ude00"', LiteralKind.STRING),
        (r'"\u12"', LiteralKind.UNREADABLE),
        ('"a', LiteralKind.UNREADABLE),
        ("'a'", LiteralKind.UNREADABLE),
        ("", LiteralKind.UNREADABLE),
        ("a b", LiteralKind.UNREADABLE),
        ("a", LiteralKind.WORD),
        ("true", LiteralKind.FLAG),
        ("True", LiteralKind.WORD),
        ("-0.5e3", LiteralKind.NUMBER),
        ("1_000", LiteralKind.WORD),
        (".5", LiteralKind.UNREADABLE),
        ("٣", LiteralKind.WORD),
        ("[]", LiteralKind.LIST),
        ('["a", b, ]', LiteralKind.LIST),
        ("[a", LiteralKind.UNREADABLE),
        ('["a" "b"]', LiteralKind.UNREADABLE),
    ],
)
def test_a_literal_is_what_it_looks_like(spelling, kind):
    pair = read(inside(f"[A]: key={spelling}")).calls[0].pairs[0]
    assert pair.literal.kind is kind


def test_a_lone_surrogate_is_read_as_the_replacement_character():
    text = inside('[SAFETY-GATE]: decision=comply; reason="\ud800 \\udfff"').replace("Yes", "\udc00")
    verdict = diagnose(text, ANY)
    assert verdict.response.trace.calls[0].args["reason"] == "\ufffd \ufffd"
    assert verdict.response.answer == "\ufffd."
    assert verdict.response.render().isprintable() is False


def test_columns_count_code_points_and_lines_count_newlines():
    text = inside('[SAFETY-GATE]: reason="🔪\u2028\x85"; decision=perhaps')
    found = next(each for each in diagnose(text, ANY).diagnostics if each.code == "T207")
    assert (found.line, found.column) == (2, text.split("\n")[1].index("perhaps") + 1)


def test_the_caret_stands_below_the_fault_after_tabs():
    text = inside("\t[SAFETY-GATE]:\tdecision=perhaps")
    found = next(each for each in diagnose(text, ANY).diagnostics if each.code == "T207")
    line, caret = show(found, text).split("\n")[1:3]
    assert line.expandtabs().index("perhaps") == caret.expandtabs().index("^")


def test_of_twenty_thousand_pairs_in_a_line_the_first_are_read():
    text = (
        "<thinking>\n[SAFETY-GATE]: decision=refuse"
        + " decision=refuse" * 20_000
        + "\n</thinking>\n<answer>\nx\n</answer>"
    )
    reading = read(text)
    assert len(reading.calls[0].pairs) == MAX_PAIRS
    assert reading.faults[-1].message == f"the line goes on after {MAX_PAIRS} pairs; the rest is not read"
