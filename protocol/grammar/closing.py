"""The shortest way to finish a response that was begun: a bound on tokens must leave room for it.

Works on canonical spellings only, because constrained decoding writes nothing else; other texts have no closing.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from protocol.keys.numbers import Number
from protocol.keys.numerals import numerals
from protocol.keys.types import AnyKeyType, Enum, Flag, List, Text
from protocol.plans.graph import State
from protocol.plans.plan import Plan
from protocol.plans.tools import Key, Tool

_HEAD, _BETWEEN, _END = "<thinking>\n", "</thinking>\n<answer>\n", "\n</answer>"
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_CHARACTER = re.compile(r"\\u.{4}|\\.|[^\\]")
_ESCAPE_BEGUN = re.compile(r"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-f]{0,3})?)\Z")
_ESCAPES = (r"\\", r"\u0000", r"\u0010", r"\u003c")
"""One escape for each way to begin one."""


class Closer:
    """Finishes the responses of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._rest: dict[State, str] = {}
        first = [self._call(state) for state in plan.walker.first()]
        self.shortest = _HEAD + min(first, key=len)
        """The shortest valid response: fewest characters, every value as brief as its key allows."""

    def closing(self, prefix: str) -> tuple[str, str]:
        """Return what to add to a prefix: the end of the line that was begun, then the rest.

        Raises:
            ValueError: no canonical response begins so.
        """
        if not prefix.startswith(_HEAD):
            if not _HEAD.startswith(prefix):
                raise ValueError(f"no response begins with {prefix[:40]!r}")
            return _HEAD[len(prefix) :], self.shortest[len(_HEAD) :]
        trace, tag, after = prefix[len(_HEAD) :].partition("<")  # strings spell theirs as an escape
        if tag:
            between = tag + after
            if between.startswith(_BETWEEN):
                return _close_answer(between[len(_BETWEEN) :]), ""
            return _without(between, _BETWEEN), f"x{_END}"
        *lines, begun = trace.split("\n")
        return min(self._ways(lines, begun), key=lambda way: len(way[0]) + len(way[1]))

    def longest_rests(self) -> list[str]:
        """Return the text that completes a response after a line, for every state of a trace."""
        return [self._following(state) for state in self.plan.walker.states()]

    def longest_line(self) -> int:
        """Return a bound on the characters that end a line which was begun."""
        literals = [_longest_closing(key.type) for tool in self.plan.tools for key in tool.keys]
        calls = [len(_shortest_call(tool)) for tool in self.plan.tools]
        return max(max(literals) + max(calls) + 1, len(_BETWEEN))

    def _ways(self, lines: Sequence[str], begun: str) -> list[tuple[str, str]]:
        walker, state = self.plan.walker, None
        following = walker.first()
        for line in lines:
            state = next(after for after in following if line.startswith(f"[{after.tool}]"))
            following = walker.next(state)
        ways = []
        for after in following:
            end = _close_call(begun, self.plan.by_name[after.tool])
            if end is not None:
                ways.append((f"{end}\n", self._following(after)))
        if state and not begun and walker.is_accepting(state):
            ways.append(("", f"{_BETWEEN}x{_END}"))
        if not ways:
            raise ValueError(f"no line of this plan begins with {begun[:40]!r} here")
        return ways

    def _following(self, state: State) -> str:
        """Return the shortest text after the line of a state."""
        if state not in self._rest:
            ways = [self._call(after) for after in self.plan.walker.next(state)]
            ways += [f"{_BETWEEN}x{_END}"] if self.plan.walker.is_accepting(state) else []
            self._rest[state] = min(ways, key=len)
        return self._rest[state]

    def _call(self, state: State) -> str:
        return f"{_shortest_call(self.plan.by_name[state.tool])}\n{self._following(state)}"


@lru_cache(maxsize=256)
def closer_of(plan: str) -> Closer:
    """Return the closer of a plan given as its canonical JSON text."""
    return Closer(Plan.from_json(plan))


def _without(begun: str, whole: str) -> str:
    if not whole.startswith(begun):
        raise ValueError(f"{begun[:40]!r} does not begin {whole!r}")
    return whole[len(begun) :]


def _close_answer(answer: str) -> str:
    for length in range(len(_END), 0, -1):
        if answer.endswith(_END[:length]) and len(answer) > length:
            return _END[length:]
    return _END if answer else f"x{_END}"


def _shortest_call(tool: Tool) -> str:
    return f"[{tool.name}]: {_pairs(tool.keys, 0)}"


def _pairs(keys: Sequence[Key], first: int) -> str:
    """Return the keys from one on, each with its shortest value."""
    return "".join(f"{'; ' if at else ''}{keys[at].name}={_shortest(keys[at].type)}" for at in range(first, len(keys)))


def _close_call(begun: str, tool: Tool) -> str | None:
    """Return the shortest end of a line that was begun, or None where it is no call of the tool."""
    marker = f"[{tool.name}]: "
    if marker.startswith(begun):
        return marker[len(begun) :] + _pairs(tool.keys, 0)
    if not begun.startswith(marker):
        return None
    rest = begun[len(marker) :]
    for at, key in enumerate(tool.keys):
        name = f"{'; ' if at else ''}{key.name}="
        if name.startswith(rest):
            return name[len(rest) :] + _shortest(key.type) + _pairs(tool.keys, at + 1)
        if not rest.startswith(name):
            return None
        rest = rest[len(name) :]
        length = _literal_length(rest, key.type)
        if length is None:
            return _close_literal(rest, key.type) + _pairs(tool.keys, at + 1)
        rest = rest[length:]
    return None if rest else ""


def _literal_length(text: str, key_type: AnyKeyType) -> int | None:
    """Return the length of the literal that a text begins with, or None where it has not ended for certain."""
    if isinstance(key_type, Text):
        found = _STRING.match(text)
        return found.end() if found else None
    if isinstance(key_type, List):
        at, separator = 1, ""
        while text[at : at + 1] not in {"", "]"}:
            at += len(separator)
            length = _item_length(text[at:], key_type.item)
            if length is None:
                return None
            at, separator = at + length, ", "
        return at + 1 if text[at : at + 1] == "]" else None
    end = text.find(";")
    return None if end < 0 else end


def _item_length(text: str, item: Text | Enum) -> int | None:
    if isinstance(item, Text):
        return _literal_length(text, item)
    found = re.match(r"[^,\]]+(?=[,\]])", text)
    return found.end() if found else None


def _close_literal(begun: str, key_type: AnyKeyType) -> str:
    match key_type:
        case Text():
            return _close_string(begun, key_type)
        case List():
            return _close_list(begun, key_type)
        case _:
            return min((word[len(begun) :] for word in _words(key_type) if word.startswith(begun)), key=len)


def _close_string(begun: str, key_type: Text) -> str:
    if not begun:
        return _shortest(key_type)
    body, end = begun[1:], ""
    if escape := _ESCAPE_BEGUN.search(body):
        end = next(each for each in _ESCAPES if each.startswith(escape[1]))[len(escape[1]) :]
    missing = key_type.min_length - len(_CHARACTER.findall(body + end))
    return f'{end}{"x" * missing}"'


def _close_list(begun: str, key_type: List) -> str:
    if not begun:
        return _shortest(key_type)
    rest, count, item = begun[1:], 0, _shortest(key_type.item)
    while (length := _item_length(rest, key_type.item)) is not None and rest[length : length + 2] == ", ":
        rest, count = rest[length + 2 :], count + 1
    if not rest:  # an item has to follow ", "
        end, count = (item, count + 1) if count else ("", 0)
    elif length is not None:  # an item, and perhaps half a separator
        end, count = (f" {item}", count + 2) if rest[length:] == "," else ("", count + 1)
    else:
        end, count = _close_literal(rest, key_type.item), count + 1
    missing = [item] * (key_type.min_items - count)
    return end + ", ".join(missing if not count else ["", *missing]) + "]"


def _shortest(key_type: AnyKeyType) -> str:
    match key_type:
        case Text():
            return f'"{"x" * key_type.min_length}"'
        case List():
            return f"[{', '.join([_shortest(key_type.item)] * key_type.min_items)}]"
        case _:
            return min(_words(key_type), key=len)


def _longest_closing(key_type: AnyKeyType) -> int:
    """Return a bound on the characters that end a literal of this type."""
    match key_type:
        case Text():
            return len(_shortest(key_type)) + 5
        case List():
            return len(_shortest(key_type)) + _longest_closing(key_type.item) + 2
        case _:
            return max(map(len, _words(key_type)))


def _words(key_type: Enum | Number | Flag) -> Sequence[str]:
    match key_type:
        case Enum():
            return key_type.words
        case Number():
            return _numerals(key_type.minimum, key_type.maximum, key_type.places)
        case _:
            return ("true", "false")


_numerals = lru_cache(maxsize=256)(numerals)
