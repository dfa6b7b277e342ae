"""The tolerant reader: it takes any text, and returns what was written and where it departs from the form.

It never raises and takes time linear in the length of the text. It knows blocks, lines, keys and literals, but no plan:
`protocol/rules/` decides whether a tool or a value is allowed. Other spacing and another order of keys are read
without a fault; `canonical` and `Response.render` give the one spelling that a plan's grammar accepts.

A tag is a tag wherever it stands, even inside quotes: blocks are cut before lines and strings are read, so that a
forgotten quote cannot swallow a block. Canonical strings therefore spell "<" as an escape. Lone surrogates can
be neither printed nor stored, and are read as U+FFFD.
"""

import re

from protocol.keys.literals import without_surrogates
from protocol.response.calls import read_calls
from protocol.response.reading import Reading

BLANKS = " \t\r\n"
_TAG = re.compile(r"<(/?)(thinking|answer)>")
_SPELLINGS = {
    name: re.compile(rf"<[ \t]{{0,8}}(/?)[ \t]{{0,8}}({name})[ \t]{{0,8}}>", re.IGNORECASE)
    for name in ("thinking", "answer")
}
"""Tags in another spelling, such as <Answer>: they are a fault, and are read only where no correct tag stands."""
_DEBRIS = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?(?:think|s|bos|eos|start_of_turn|end_of_turn)>|\[/?INST\]|<<?/?SYS>>?", re.IGNORECASE
)
"""What chat templates and other models put around a response."""
_BROKEN_TAG = re.compile(r"\s*+(?:</?[ \t]*+(?:thinking|answer)|/?(?:thinking|answer)[ \t]*+>)[ \t\r]*+(?:\n|\Z)")
"""A tag on its own line that lacks a bracket: the remains of a missing tag."""
_FOREIGN_TAG = re.compile(r"<[ \t]{0,8}(?:think|thought|thinking|reasoning)[ \t]{0,8}>", re.IGNORECASE)


def read(text: str) -> Reading:
    """Read a response."""
    reading = Reading(without_surrogates(text))
    _Blocks(reading).scan()
    return reading


class _Blocks:
    """Walks over the tags of a response and cuts it into blocks."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.fault = reading.fault
        self.open: str | None = None
        self.open_start = 0
        self.body_start = 0
        self.outside: list[tuple[int, int]] = []
        self.misspelt: dict[str, re.Match[str]] = {}
        self.end_of_last = 0

    def scan(self) -> None:
        """Cut, then note what is missing."""
        text = self.reading.text
        for tag in self.tags():
            self.meet(tag)
        if self.open is None:
            self.outside.append((self.end_of_last, len(text)))
        else:
            self.reading.is_cut_off = self.open == "thinking"
            self.unclosed(len(text), "the end of the response")
        self.note_outside()
        self.note_missing()

    def tags(self) -> list[re.Match[str]]:
        """Return the tags in order; of a block that has none, those in another spelling."""
        text = self.reading.text
        found = list(_TAG.finditer(text))
        for name, spelling in _SPELLINGS.items():
            if any(tag[2] == name for tag in found):
                continue
            others = list(spelling.finditer(text))
            if others:
                self.misspelt[name] = others[0]
            found += others
        return sorted(found, key=lambda tag: tag.start()) if self.misspelt else found

    def meet(self, tag: re.Match[str]) -> None:
        """Take the next tag."""
        is_closing, name = bool(tag[1]), tag[2].lower()
        if self.open == "answer":
            if is_closing and name == "answer":
                self.close(tag.start(), tag.end())
        elif self.open == "thinking":
            self.meet_in_thinking(tag, is_closing, name)
        elif is_closing:
            self.meet_unopened(tag, name)
        else:
            self.outside.append((self.end_of_last, tag.start()))
            self.begin(name, tag.start(), tag.end())

    def meet_in_thinking(self, tag: re.Match[str], is_closing: bool, name: str) -> None:
        if name == "thinking" and is_closing:
            self.close(tag.start(), tag.end())
        elif name == "answer" and not is_closing:
            self.unclosed(tag.start(), "<answer>")
            self.begin("answer", tag.start(), tag.end())
        elif name == "thinking":
            self.fault("misplaced-block", tag.start(), "a second <thinking> inside the thinking block", "</thinking>")

    def meet_unopened(self, tag: re.Match[str], name: str) -> None:
        """A closing tag without an opening one: the text before it was meant as the block."""
        start = self.end_of_last
        is_repeated = self.reading.has_thinking if name == "thinking" else self.reading.answer is not None
        if is_repeated:
            self.fault("misplaced-block", tag.start(), f"</{name}> closes nothing", f"only one {name} block")
            self.outside.append((start, tag.start()))
        else:
            self.fault("unclosed-block", tag.start(), f"</{name}> without <{name}>", f"<{name}> before the block")
            broken = _BROKEN_TAG.match(self.reading.text, start, tag.start())
            self.begin(name, start, broken.end() if broken else start)
            self.close(tag.start(), tag.end())
        self.end_of_last = tag.end()

    def begin(self, name: str, start: int, body_start: int) -> None:
        self.open, self.open_start, self.body_start = name, start, body_start
        if name == "thinking" and self.reading.answer is not None and not self.reading.has_thinking:
            self.fault("misplaced-block", start, "the thinking block follows the answer", "thinking, then answer")

    def close(self, body_end: int, end: int) -> None:
        reading, start = self.reading, self.body_start
        name, self.open, self.end_of_last = self.open, None, end
        is_repeated = reading.has_thinking if name == "thinking" else reading.answer is not None
        if is_repeated:
            self.fault("misplaced-block", self.open_start, f"a second {name} block", f"only one {name} block")
        elif name == "thinking":
            reading.has_thinking = True
            read_calls(reading, start, body_end)
        else:
            self.take_answer(start, body_end)

    def take_answer(self, start: int, end: int) -> None:
        reading = self.reading
        while start < end and reading.text[start] in BLANKS:
            start += 1
        if end > start and reading.text[end - 1] == "\n":
            end -= 1
        reading.answer, reading.answer_start = reading.text[start:end], start
        if not reading.answer:
            self.fault("empty-answer", start, "the answer block is empty", "an answer for the user")

    def unclosed(self, body_end: int, before: str) -> None:
        name, start = self.open, self.open_start
        self.fault("unclosed-block", start, f"<{name}> is not closed before {before}", f"</{name}>")
        last_line = self.reading.text.rfind("\n", self.body_start, body_end - 1)
        is_broken = last_line >= 0 and _BROKEN_TAG.fullmatch(self.reading.text, last_line, body_end)
        self.close(last_line if is_broken else body_end, body_end)

    def note_outside(self) -> None:
        reading = self.reading
        pieces = [(start, reading.text[start:end]) for start, end in self.outside]
        written = [
            (start + len(piece) - len(piece.lstrip()), piece.strip()) for start, piece in pieces if piece.strip()
        ]
        reading.outside = "\n".join(piece for _, piece in written)
        if reading.has_thinking or reading.answer is not None:
            for start, piece in written:
                message = f"text outside the blocks: {piece[:40]!r}"
                self.fault("text-outside", start, message, "nothing but the two blocks", _way_out(piece))

    def note_missing(self) -> None:
        reading = self.reading
        for name, tag in self.misspelt.items():
            message = f"there is no {name} block, but one in another spelling: {tag[0]}"
            hint = f"write <{name}> and </{name}> instead of {tag[0]}"
            self.fault("no-answer" if name == "answer" else "no-thinking", tag.start(), message, f"<{name}>", hint)
        if not reading.has_thinking:
            foreign = _FOREIGN_TAG.search(reading.outside)
            hint = f"write <thinking> and </thinking> instead of {foreign[0]}" if foreign else ""
            self.fault("no-thinking", 0, "there is no thinking block", "<thinking>", hint)
        elif not reading.calls and not any(fault.name == "malformed-call" for fault in reading.faults):
            self.fault("empty-trace", 0, "the thinking block has no call", "[TOOL-NAME]: key=value; ...")
        if reading.answer is None:
            message = "there is no answer block"
            self.fault("no-answer", len(reading.text), message, "<answer>...</answer> after the trace")


def _way_out(piece: str) -> str:
    """Return what to do about text outside the blocks."""
    if debris := _DEBRIS.search(piece):
        return f"{debris[0]} belongs to a chat template or another model: cut it off, it is no part of the answer"
    return "leave the Markdown fence out" if piece.startswith("```") else "move it into the answer"
