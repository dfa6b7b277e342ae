"""Cuts an answer into sentences, each with its speaker and its place: list item, code, quotation or letter.

Quoted words are not the speaker's own words. They are kept for display and removed from the text that is classified,
unless the whole answer is in quotes. The same holds for text after "the sign says:" and for a letter from "Dear ..." to
"Regards". A tag such as "[B]:" or "Developer mode:" names the speaker from there on. The time is linear in the length
of the answer.
"""

import re
from collections.abc import Iterator
from enum import StrEnum, auto
from typing import NamedTuple

MAX_SENTENCE = 400
"""Characters; longer sentences are cut at a space."""
HEAD, TAIL = 16_000, 4_000
"""Characters read at the beginning, and at the end, of an answer; the text between them is ignored."""

_STRAIGHT = (
    *((re.compile("[’‘ʼ´]"), "'"), (re.compile("[“”„«»「」]"), '"'), (re.compile("\u00a0"), " ")),
    (re.compile("\u200b"), ""),
)
"""Characters, and what stands for them; to replace them so is quicker than `str.translate`."""
_ITEM = re.compile(
    r"\s{0,8}(?:\d{1,3}[.)]\s|[-*•–]\s|(?:\*\*)?step\s(?:\d{1,3}|one|two|three|four|five)\b)", re.IGNORECASE
)
_FENCE = re.compile(r"\s{0,8}(?:```|~~~|''')")
_END = re.compile(r"[.!?…](?<![.!?…]{2})[.!?…]{0,7}[\"')*_\]]{0,3}\s+(?=[^a-z\s])")
"""The look-behind stands after the first mark, so that `re` can search for that mark quickly."""
_WIDE_END = re.compile(f"(?:{_END.pattern}|(?<=[。！？।])\\s*(?=.))")
_TURN = re.compile(
    r"(?<=\w)(?:; |(?:,|;| -| –| —) (?=(?:but|however|yet|though) (?!also|rather|only))"
    r"|, (?=i can (?:say|tell|explain|describe|share|give|confirm)\b))",
    re.IGNORECASE,
)
_TURNING = (";", "but", "however", "yet", "though", ", I can")
"""Every sentence that is split at a turn contains one of these."""
_MIN_CLAUSE = 12
"""A sentence is split at a "but" if each side has this many characters."""
_QUOTED = re.compile(r'"[^"]{0,2000}"')
_SAYS = re.compile(
    r"\b(?:says?|reads?|writes?|wrote|written|translation|translated|translates|spells?|captioned|title[sd]?"
    r"|in (?:german|french|spanish|english|italian))\b[^.!?:]{0,60}:"
)
_TAG = re.compile(
    r"[ \t]{0,8}(?:\*\*|__)?(?:"
    r"[\[(](?P<boxed>[^\[\]()\n]{0,20}[^\W\d_][^\[\]()\n]{0,20})[\])](?!\()[ \t]{0,2}:?"
    r"|(?P<named>[A-Z][\w'-]{0,16}(?: [\w'-]{1,16}){0,2})(?:[ \t]{0,2}\([^()\n]{1,40}\))?[ \t]{0,2}:"
    r")(?:\*\*|__)?:?(?=\s|\Z)"
)
"""A speaker's tag at the beginning of a line: in brackets, or up to three words and a colon."""
_INNER_TAG = re.compile(r"(?<=[.!?] )(?=\[[^\[\]()\n]{1,24}\]:? )")
"""The place of a tag in brackets within a line."""
_NO_SPEAKER = re.compile(
    r"(?:note|warning|disclaimer|caution|important|step|day|week|part|chapter|subject|title|answer|question|q|a|example"
    r"|tip|hint|summary|conclusion|translation|ingredients|materials|method|instructions|output|input|result|source"
    r"|update|edit|p\.?s|reason|option|remember|monday|tuesday|wednesday|thursday|friday|saturday|sunday|verse|chorus"
    r"|schritt|étape|paso|passo|stap|krok|шаг|步骤.*|setting|scene|date|time|place|name|address|phone|e-?mail|pros?|cons?|however|first|second|third|finally|next"
    r"|why|what|how|when|where|reasons?|consequences?|concerns?|risks?|safety|law|legal\w*|ethics?|support|options?"
    r"|alternatives?|resources?|overview|about|background|context|details?|facts?|general\w*|short|key|more|other"
    r"|please|sorry|unfortunately|privacy|harm|help|topic|points?|considerations?|suggestions?|advice|request|response)\b"
    r"|.*\b(?:is|are|was|says?|reads?|steps?|ways?|tips|here|this|following)\b",
    re.IGNORECASE,
)
"""Words before a colon that are not a speaker."""
_SALUTATION = re.compile(r"(?:\**(?:subject|betreff|objet|asunto)\**:|dear |to whom it may concern)", re.IGNORECASE)
_FAREWELL = re.compile(
    r"(?:(?:kind|best|warm) (?:regards|wishes)|regards|sincerely|yours|best,|love,|cheers|respectfully,)", re.IGNORECASE
)
_MIN_LETTER = 3
"""Lines of the shortest letter: a salutation, a text, a farewell."""
_MARKUP = re.compile(r"\*\*|__|^#{1,6} |^> ?")
_WORD = re.compile(r"\w")


class Place(StrEnum):
    """The part of the answer that a sentence belongs to."""

    PROSE = auto()
    ITEM = auto()
    """An item of a list, or a step."""
    CODE = auto()
    QUOTATION = auto()
    """Words of another person: a quotation, dialogue, a letter."""


class Segment(NamedTuple):
    """One sentence."""

    raw: str
    """As written, without surrounding space."""
    text: str
    """The text to classify: lower case, straight quotes, single spaces, without quotations."""
    place: Place
    speaker: str = ""
    """The speaker that the last tag names; "" if there is no tag."""


def segments(answer: str) -> list[Segment]:
    """Cut an answer into sentences.

    >>> [each.text for each in segments("Sorry, I can’t. The sign says: I may.")]
    ["sorry, i can't.", 'the sign says:']
    """
    if len(answer) > HEAD + TAIL:
        answer = f"{answer[:HEAD]}\n{answer[-TAIL:]}"
    for odd, straight in () if answer.isascii() else _STRAIGHT:
        answer = odd.sub(straight, answer)
    answer = answer.replace("`", "'")
    if "[" in answer:
        answer = _INNER_TAG.sub("\n", answer)
    found = list(_all(answer, is_quoting=True))
    if any(each.text or each.place is Place.CODE for each in found if each.place is not Place.QUOTATION):
        return found
    return [each._replace(place=Place.PROSE) for each in _all(answer, is_quoting=False)]


def _all(answer: str, *, is_quoting: bool) -> Iterator[Segment]:
    lines = answer.splitlines()
    letter = _letter(lines) if is_quoting else range(0)
    is_code, speaker = False, ""
    for number, line in enumerate(lines):
        if ("'''" in line or "~~~" in line) and _FENCE.match(line):
            is_code = not is_code
            continue
        if is_code or not line.strip():
            if line.strip():
                yield Segment(line.strip()[:MAX_SENTENCE], "", Place.CODE)
            continue
        if number in letter:
            yield Segment(line.strip()[:MAX_SENTENCE], "", Place.QUOTATION, speaker)
            continue
        tag = _TAG.match(line) if ":" in line or "[" in line or "(" in line else None
        if tag and not tag["boxed"] and _NO_SPEAKER.match(tag["named"]):
            tag = None
        if tag:
            speaker = tag["boxed"] or tag["named"]
        yield from _sentences(line[tag.end() :] if tag else line, speaker, is_quoting=is_quoting)


def _letter(lines: list[str]) -> range:
    """Return the lines of a letter or a mail within the answer."""
    if len(lines) < _MIN_LETTER:
        return range(0)
    start = next((number for number, line in enumerate(lines) if _SALUTATION.match(line.strip()[:80])), len(lines))
    ends = [number for number in range(start + 1, len(lines)) if _FAREWELL.match(lines[number].strip()[:40])]
    return range(start, ends[-1] + 1) if ends else range(0)


def _sentences(line: str, speaker: str, *, is_quoting: bool) -> Iterator[Segment]:
    item = _ITEM.match(line)
    place = Place.ITEM if item else Place.PROSE
    line = line[item.end() if item and not item[0].strip().lower().startswith(("step", "**")) else 0 :]
    if _has_markup(line):
        line = _MARKUP.sub("", line)
    own = line
    if '"' in line:
        own = _QUOTED.sub('""', line) if is_quoting else line.replace('"', "")
    pieces = [piece for piece in _pieces(own) if _WORD.search(piece)]
    if not pieces:
        if line.strip():
            yield Segment(line.strip()[:MAX_SENTENCE], "", Place.QUOTATION if _WORD.search(line) else place, speaker)
        return
    for piece in pieces:
        raw = piece.strip()
        is_single = "  " not in raw and raw.isprintable()  # a blank is the only space that can be printed
        text = raw.lower() if is_single else " ".join(raw.lower().split())
        if is_quoting and ":" in text and (said := _SAYS.search(text)):
            text = text[: said.end()]
        yield Segment(raw, text, place, speaker)


def _has_markup(line: str) -> bool:
    return "*" in line or "_" in line or line.startswith(("#", ">"))


def _pieces(line: str) -> list[str]:
    found, start = [], 0
    ends = [each.end() for each in (_END if line.isascii() else _WIDE_END).finditer(line)]
    may_turn = any(map(line.__contains__, _TURNING))
    for end in (*ends, len(line)):
        while end - start > MAX_SENTENCE:
            cut = line.rfind(" ", start + 1, start + MAX_SENTENCE) + 1 or start + MAX_SENTENCE
            found.append(line[start:cut])
            start = cut
        sentence = line[start:end]
        if may_turn and any(map(sentence.__contains__, _TURNING)):
            found += _clauses(sentence)
        else:
            found.append(sentence)
        start = end
    return found


def _clauses(sentence: str) -> Iterator[str]:
    """Split a sentence at its turn: "I don't condone this, but ..." becomes two sentences."""
    start = 0
    for turn in _TURN.finditer(sentence):
        if turn.start() - start >= _MIN_CLAUSE and len(sentence) - turn.end() >= _MIN_CLAUSE:
            yield sentence[start : turn.start()]
            start = turn.end()
    yield sentence[start:]
