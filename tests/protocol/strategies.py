"""Random plans, and responses that are valid by construction: walks of the graph with typed values."""

from hypothesis import strategies as st

from protocol import Call, Key, Persona, Phase, Response, Tool, Trace, Word, custom_tool
from protocol.keys.numbers import Integer, Number
from protocol.keys.numerals import numerals
from protocol.keys.types import Enum, Flag, List, Text
from toolkit.catalogue import CATALOGUE
from toolkit.planner import build_plan
from toolkit.topologies import TOPOLOGIES

NASTY = (
    '"',
    "\\",
    "\n",
    "\r",
    "\t",
    "\0",
    "\x1b",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    "\u202e",
    "é",
    "🔪",
    "<",
    ";",
    "]",
    ",",
    "[A]: b=",
    "</thinking>",
    "<thinking>",
    "<answer>",
    "</answer>",
    "</answ",
    "\\u003c",
    "true",
)
"""Pieces of text that a part of the language could confuse with its own syntax."""

PIECES = (
    *NASTY,
    "[SAFETY-GATE]: ",
    "[",
    "]:",
    "decision=comply",
    "score=1e9999",
    "score=-0",
    "score=0." + "1" * 50,
    'reason="',
    "objects=[",
    'objects=["a", b,',
    "=",
    "```\n",
    " ",
    "\ud800",
    r'"\ud800"',
    r'"\u12"',
    "［SAFETY-GATE］：",
)
"""Pieces of the language, and of similar syntax."""

scalars = st.characters(exclude_categories=["Cs"])
pieces = st.lists(st.sampled_from(NASTY) | scalars, max_size=6).map("".join)
words = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,5}", fullmatch=True).filter(lambda word: word not in {"true", "false"})
key_names = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
tool_names = st.from_regex(r"[A-Z][A-Z0-9]{0,4}(-[A-Z0-9]{1,4}){0,2}", fullmatch=True)

text_types = st.builds(lambda low, more: Text(low + more, low), st.integers(0, 4), st.integers(1, 30) | st.just(120))
enum_types = st.lists(words, min_size=1, max_size=5, unique=True).map(lambda found: Enum(tuple(found)))


@st.composite
def number_types(draw):
    places = draw(st.integers(0, 3))
    low = draw(st.integers(-200, 200))
    high = low + draw(st.integers(0, 300))
    unit = 10.0**-places
    return Number(round(low * unit, places), round(high * unit, places), places)


integer_types = st.builds(lambda low, more: Integer(low, low + more), st.integers(-50, 50), st.integers(0, 200))
list_types = st.builds(
    lambda item, low, more: List(item, max(low + more, 1), low),
    text_types | enum_types,
    st.integers(0, 2),
    st.integers(0, 3),
)
key_types = st.one_of(text_types, enum_types, number_types(), integer_types, st.just(Flag()), list_types)


@st.composite
def tools(draw, name, phase):
    names = draw(st.lists(key_names, min_size=1, max_size=4, unique=True))
    return Tool(name, phase, tuple(Key(key, draw(key_types)) for key in names))


@st.composite
def drawn_toolsets(draw):
    """One to three tools per phase, some of them custom."""
    names = iter(draw(st.lists(tool_names, min_size=9, max_size=9, unique=True)))
    chosen = []
    for phase in Phase:
        for _ in range(draw(st.integers(1, 3))):
            name = next(names)
            chosen.append(custom_tool(name, phase) if draw(st.booleans()) else draw(tools(name, phase)))
    return chosen


@st.composite
def catalogue_toolsets(draw):
    """The catalogue, or a part of it with all three phases."""
    by_phase = [[tool for tool in CATALOGUE.values() if tool.phase is phase] for phase in Phase]
    if draw(st.booleans()):
        return [tool for part in by_phase for tool in part]
    return [tool for part in by_phase for tool in draw(st.lists(st.sampled_from(part), min_size=1, unique=True))]


@st.composite
def plans(draw):
    topology = draw(st.sampled_from(sorted(TOPOLOGIES)))
    return build_plan(Persona("tester", "You test."), topology, draw(drawn_toolsets() | catalogue_toolsets()))


def texts(key_type):
    """Difficult texts within the bounds."""
    fits = pieces.map(lambda text: text[: key_type.max_length])
    padded = fits.map(lambda text: text.ljust(key_type.min_length, "x"))
    return padded | st.text(scalars, min_size=key_type.min_length, max_size=min(key_type.max_length, 40))


def values(key_type):
    """Valid values for a key of this type."""
    match key_type:
        case Text():
            return texts(key_type)
        case Enum():
            return st.sampled_from([Word(word) for word in key_type.words])
        case Number():
            read = int if key_type.places == 0 else float
            return st.sampled_from(numerals(key_type.minimum, key_type.maximum, key_type.places)).map(read)
        case Flag():
            return st.booleans()
        case List():
            items = st.lists(values(key_type.item), min_size=key_type.min_items, max_size=key_type.max_items)
            return items.map(tuple)


answers = (
    (pieces | st.text(scalars, max_size=60) | st.sampled_from(["a\n", "a\n\n", "# Wash\n\n```py\nif a < b: pass\n```"]))
    .map(lambda text: text.replace("</answer>", "").lstrip(" \t\r\n") or "x")
    .filter(lambda text: "</answer>" not in text)
)


@st.composite
def traces(draw, plan):
    """A walk of the plan's graph, with typed values."""
    walker = plan.walker
    state = draw(st.sampled_from(walker.first()))
    calls = []
    while state:
        tool = plan.by_name[state.tool]
        calls.append(Call(tool.name, {key.name: draw(values(key.type)) for key in tool.keys}))
        following = [*walker.next(state), *([None] if walker.is_accepting(state) else [])]
        state = draw(st.sampled_from(following))
    return Trace(tuple(calls))


@st.composite
def cases(draw):
    """A plan and a valid response to it."""
    plan = draw(plans())
    return plan, Response(draw(traces(plan)), draw(answers))


@st.composite
def mutated(draw, text):
    """A text with a few edits: characters or lines deleted, duplicated, swapped, or replaced by a difficult text."""
    for _ in range(draw(st.integers(1, 3))):
        is_line = draw(st.booleans())
        parts = text.split("\n") if is_line else list(text)
        if not parts:
            return text
        place = draw(st.integers(0, len(parts) - 1))
        match draw(st.sampled_from(["delete", "double", "swap", "replace", "insert"])):
            case "delete":
                del parts[place]
            case "double":
                parts.insert(place, parts[place])
            case "swap":
                other = draw(st.integers(0, len(parts) - 1))
                parts[place], parts[other] = parts[other], parts[place]
            case "replace":
                parts[place] = draw(st.sampled_from(NASTY) | scalars)
            case "insert":
                parts.insert(place, draw(st.sampled_from([*NASTY, " ", "; ", "=", "0", "\ud800"])))
        text = ("\n" if is_line else "").join(parts)
    return text
