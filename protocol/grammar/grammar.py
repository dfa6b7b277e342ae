r"""The grammar of a plan: a Lark text whose sentences are exactly the canonical spellings of its valid responses.

It stays in the subset that lark (LALR, contextual lexer) and llguidance read alike: no templates, priorities,
look-around or `%ignore`; counted repetition only as `~m..n`; every blank spelt out. The graph is unrolled into one rule
per state of `protocol.plans.graph.Walker`, so step and return bounds are part of the grammar, and a state that cannot
reach the end is not.

A tag ends a block wherever it stands, even in a string; so strings spell "<" as an escape, and need no look-around.

The answer is any text without `</answer>` that starts with no blank. Both engines lex greedily, so the terminal takes
in the closing tag: the regular complement of that word, spelt as a walk over its prefixes.
"""

import re
from functools import lru_cache
from importlib.resources import files

from protocol.plans.graph import State, Walker
from protocol.plans.plan import Plan
from protocol.plans.tools import Tool

_CLOSING = "</answer>"


@lru_cache(maxsize=512)
def grammar_of(plan: Plan) -> str:
    """Return the grammar of a plan as a Lark text."""
    walker = plan.walker
    names = {state: f"step_{number}" for number, state in enumerate(walker.states())}
    lines = [f"// plan {plan.fingerprint}: {plan.graph.topology}", "", "start: thinking"]
    lines += [rf'thinking: "<thinking>\n" ({_alternatives(walker.first(), names)})', ""]
    lines += [_step(state, walker, names, plan) for state in names]
    lines += [r'end: "</thinking>\n<answer>\n" ANSWER', ""]
    for tool in plan.tools:
        lines += [_tool(tool), *_terminals(tool), ""]
    return "\n".join([*lines, shared_grammar()])


def shared_grammar() -> str:
    """Return the terminals that every plan's grammar has."""
    base = files("protocol").joinpath("grammar", "base.lark").read_text(encoding="utf-8")
    return base.replace("@ANSWER@", answer_pattern())


def _alternatives(states: tuple[State, ...], names: dict[State, str]) -> str:
    return " | ".join(names[state] for state in states)


def _step(state: State, walker: Walker, names: dict[State, str], plan: Plan) -> str:
    following = [names[after] for after in walker.next(state)]
    following += ["end"] if walker.is_accepting(state) else []
    return rf'{names[state]}: {_rule_name(plan.by_name[state.tool])} "\n" ({" | ".join(following)})'


def _rule_name(tool: Tool) -> str:
    return "call_" + tool.name.lower().replace("-", "_")


def _terminal_name(tool: Tool, key: str) -> str:
    return f"{tool.name.replace('-', '_')}__{key.upper()}"


def _tool(tool: Tool) -> str:
    pairs = [
        f'"{"; " if number else ""}{key.name}=" {_terminal_name(tool, key.name)}'
        for number, key in enumerate(tool.keys)
    ]
    return f'{_rule_name(tool)}: "[{tool.name}]: " {" ".join(pairs)}'


def _terminals(tool: Tool) -> list[str]:
    return [f"{_terminal_name(tool, key.name)}: {key.type.terminal()}" for key in tool.keys]


def answer_pattern() -> str:
    r"""Return the regular expression of an answer, a newline, and the first `</answer>` after it.

    A run of other characters may be followed by attempts at the closing tag that fail: a proper prefix of it, then a
    character that does not continue it. An attempt that fails on `<` is followed at once by the next attempt.
    """
    run = r"[^<]*"
    attempts = [_attempt(run), _attempt(rf"{run}\n", at_end=True)]
    # The answer begins with no blank; with no run before it, an attempt begins it.
    body = rf"(?:[^< \t\r\n]{run}\n|(?:[^< \t\r\n]{run})?(?:{attempts[0]})*{attempts[1]})"
    return body + re.escape(_CLOSING).replace("/", r"\/")


def _attempt(run: str, *, at_end: bool = False) -> str:
    """Return a failing attempt at the closing tag, followed by a run, nested letter by letter."""
    pattern = ""
    for letter in reversed(_CLOSING[1:]):
        escaped = r"\/" if letter == "/" else letter
        breaks = rf"[^<{escaped}]{run}"
        if at_end:
            # The run ends in the newline before the tag; that newline may also be what breaks the attempt.
            breaks = rf"(?:\n|[^<{escaped}]{run})"
        deeper = f"|{escaped}{pattern}" if pattern else ""
        pattern = f"(?:{breaks}{deeper})" if at_end else f"(?:{breaks}{deeper})?"
    return f"<{pattern}"
