"""Quoted text stays text: it can be restored, cannot end its section, and has no fake turns or hidden characters."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.judges.quoting import PREFIX, marker, quote
from eval.judges.rubrics import messages
from tests.endpoints.judge_model import sections
from tests.endpoints.unquoting import unquote
from tests.eval.judges.injections import INJECTIONS
from tests.eval.judges.judged import item

SPECIAL = re.compile(r"<|\[/?[A-Za-z_]+\]")
TEXTS = st.text(st.characters(codec=None)) | st.text(st.sampled_from("<[]/&#x;|INST \n\r\u200b＜［lt3c"))


@given(TEXTS)
def test_what_is_quoted_comes_back(text):
    assert unquote(quote(text)) == text


@given(TEXTS)
def test_quoted_text_is_visible_prefixed_and_without_special_tokens(text):
    quoted = quote(text)
    assert all(line.startswith(PREFIX) for line in quoted.splitlines())
    assert quoted.count("\n") == text.count("\n")
    assert not SPECIAL.search(unicodedata.normalize("NFKC", quoted))
    assert not {unicodedata.category(letter) for letter in quoted} & {"Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    quoted.encode()  # no lone surrogates are left, which could not be sent


@given(TEXTS, TEXTS)
def test_the_marker_is_in_no_section_and_the_same_for_the_same_sections(first, second):
    parts = {"QUERY": quote(first), "ANSWER": quote(second)}
    word = marker(parts)
    assert re.fullmatch("[0-9a-f]{16}", word)
    assert word == marker(dict(parts))
    assert not any(word in part for part in parts.values())
    assert marker(parts | {"ANSWER": quote(second + "x")}) != word


def test_a_marker_that_a_section_holds_is_not_used():
    """A text cannot contain its own hash, so the test uses a special mapping whose text does."""

    class Knowing(dict):
        words = ()

        def values(self):
            return list(self.words)

    parts = Knowing(ANSWER="| fine")
    first = marker(parts)
    parts.words = (first,)
    second = marker(parts)
    parts.words = (first, second)
    assert len({first, second, marker(parts)}) == 3


@pytest.mark.parametrize("text", ["", "\n", "plain", "a\tb", "日本語 émoji 🙂", "f(x) = [1, 2]; print('ok')"])
def test_common_text_stays_readable(text):
    assert quote(text) == "\n".join(PREFIX + line for line in text.split("\n"))


@given(st.sampled_from(sorted(INJECTIONS)), st.sampled_from(["query", "trace", "answer"]))
def test_every_section_holds_exactly_what_was_written(name, place):
    text = INJECTIONS[name]
    each = item(**{"answer": "fine", "query": "clean it?", "trace": "fine"} | {place: text})
    found = sections({"messages": messages(each)})
    reading = each.verdict.reading
    assert found["QUERY"] == each.query
    assert found["ANSWER"] == reading.visible_answer
    whole = reading.text
    if reading.answer is not None:
        whole = found["TRACE"][: reading.answer_start] + found["ANSWER"] + found["TRACE"][reading.answer_start :]
    assert whole == reading.text
