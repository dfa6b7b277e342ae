"""Named ways to spoil an honest response, each with the diagnostics it causes: the negatives of DPO, the tests of rules.

A corruption is a function from an `Example` to a spoilt text, or None where it does not apply (a plan of one Reasoning
tool cannot skip one of two). `corrupt` checks that the text causes exactly the stated codes, so a corruption that
stops being what its name says cannot slip into a data set. Families after SaFeR-ToolKit: tool selection and tool
execution; the third, decision and answer, is our own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from data.rows import Query
from data.synthesis import reference_path, template_args
from protocol import Call, Decision, Plan, Response, Risk, Trace, Word, diagnose
from protocol.literals import Value
from protocol.tools import Role


@dataclass(frozen=True, slots=True)
class Example:
    """An honest response with what it answers to."""

    query: Query
    plan: Plan
    response: Response

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of the trace."""
        return self.response.trace.calls

    def with_calls(self, calls: Sequence[Call]) -> str:
        """Return the text with other calls."""
        return replace(self.response, trace=Trace(tuple(calls))).render()

    def with_answer(self, decision: Decision) -> Response | None:
        """Return the response with the query's reference answer under a decision, or None where there is none."""
        answer = self.query.answers.get(decision)
        return None if answer is None else replace(self.response, answer=answer)


Spoil = Callable[[Example, Random], str | None]


@dataclass(frozen=True, slots=True)
class Corruption:
    """A named way to spoil a response."""

    name: str
    family: str
    """"form", "selection", "execution", "decision" or "evidence"."""
    codes: frozenset[str]
    """The diagnostics it causes, exactly, on a query with full labels."""
    spoil: Spoil


class CorruptionError(AssertionError):
    """A corruption did not cause its codes: a fault of this module or of a rule, never of the data."""


CORRUPTIONS: dict[str, Corruption] = {}


def corruption(family: str, *codes: str) -> Callable[[Spoil], Spoil]:
    """Register a corruption under its function's name."""

    def register(spoil: Spoil) -> Spoil:
        CORRUPTIONS[spoil.__name__] = Corruption(spoil.__name__, family, frozenset(codes), spoil)
        return spoil

    return register


def corrupt(name: str, example: Example, rng: Random) -> str | None:
    """Return the spoilt text, or None where the corruption does not apply.

    Raises:
        CorruptionError: the text does not cause exactly the stated codes.
    """
    entry = CORRUPTIONS[name]
    text = entry.spoil(example, rng)
    if text is None:
        return None
    caused = {found.code for found in diagnose(text, example.plan, example.query.labels).diagnostics}
    if caused != entry.codes:
        raise CorruptionError(f"{name} caused {sorted(caused)}, expected {sorted(entry.codes)}, in:\n{text}")
    return text


# --- form -------------------------------------------------------------------------------------------------------------


@corruption("form", "S101")
def answer_only(example: Example, _: Random) -> str | None:
    """Leave the trace out."""
    text = example.response.render()
    return text[text.index("<answer>") :]


@corruption("form", "S102")
def trace_only(example: Example, _: Random) -> str | None:
    """Leave the answer out."""
    return replace(example.response, answer=None).render()


@corruption("form", "S103")
def unclosed_thinking(example: Example, _: Random) -> str | None:
    """Forget the tag that closes the trace."""
    return example.response.render().replace("</thinking>\n", "")


@corruption("form", "S104")
def prose_before(example: Example, _: Random) -> str | None:
    """Talk before the trace."""
    return "Let me look at the picture.\n" + example.response.render()


@corruption("form", "S105")
def prose_in_trace(example: Example, rng: Random) -> str | None:
    """Put prose where a call belongs."""
    lines = example.response.render().split("\n")
    lines.insert(rng.randint(1, len(example.calls) + 1), "I can see what is in the picture.")
    return "\n".join(lines)


@corruption("form", "S106")
def empty_trace(example: Example, _: Random) -> str | None:
    """Open and close the trace without a call."""
    return example.with_calls(())


@corruption("form", "S107")
def empty_answer(example: Example, _: Random) -> str | None:
    """Answer nothing."""
    return replace(example.response, answer="").render()


@corruption("form", "S108")
def second_answer(example: Example, _: Random) -> str | None:
    """Answer twice."""
    return example.response.render() + f"\n<answer>\n{example.response.answer}\n</answer>"


# --- tool selection ---------------------------------------------------------------------------------------------------


@corruption("selection", "T201")
def misspelt_tool(example: Example, rng: Random) -> str | None:
    """Swap the last two letters of a tool's name."""
    place = rng.randrange(len(example.calls))
    name = example.calls[place].tool
    return _replaced(example, place, tool=name[:-2] + name[-1] + name[-2])


@corruption("selection", "G301")
def skipped_first_tool(example: Example, _: Random) -> str | None:
    """Begin with the second tool, where the plan does not start with it and perceives something all the same."""
    rest = example.calls[1:]
    phases = example.plan.phases
    is_start = rest[0].tool in example.plan.graph.start
    return None if is_start or phases[rest[0].tool] is not phases[example.calls[0].tool] else example.with_calls(rest)


@corruption("selection", "G302")
def skipped_tool(example: Example, rng: Random) -> str | None:
    """Leave out a call in between that the plan does not let one leave out, of a phase that another call covers."""
    calls, graph, phases = example.calls, example.plan.graph, example.plan.phases
    covered = [phases[call.tool] for call in calls]
    places = [
        place
        for place in range(1, len(calls) - 1)
        if covered.count(phases[calls[place].tool]) > 1
        and calls[place + 1].tool not in graph.successors(calls[place - 1].tool)
        and not _states_decision(example, calls[place])
    ]
    if not places:
        return None
    place = rng.choice(places)
    return example.with_calls([*calls[:place], *calls[place + 1 :]])


@corruption("selection", "G302", "G303")
def skipped_reasoning(example: Example, _: Random) -> str | None:
    """Decide without reasoning."""
    return example.with_calls([call for call in example.calls if example.plan.phases[call.tool] != "Reasoning"])


@corruption("selection", "G303", "G304")
def undecided(example: Example, _: Random) -> str | None:
    """Stop before the decision."""
    return example.with_calls([call for call in example.calls if example.plan.phases[call.tool] != "Decision"])


@corruption("selection", "G302", "G305")
def repeated_tool(example: Example, _: Random) -> str | None:
    """Call the first tool until the trace is longer than the plan allows."""
    first, limit = example.calls[0], example.plan.graph.max_steps
    return example.with_calls([*[first] * (limit + 1 - len(example.calls)), *example.calls, *example.calls[-1:]])


@corruption("selection", "G306")
def one_return_too_many(example: Example, _: Random) -> str | None:
    """Go round a loop once more than the plan allows, steps permitting."""
    plan, calls = example.plan, example.calls
    before = [call for call in calls if plan.phases[call.tool] != "Decision"]
    rounds = plan.graph.max_returns + 1
    is_loop = bool(before) and before[0].tool in plan.graph.successors(before[-1].tool)
    text_calls = [*before * rounds, *calls]
    return example.with_calls(text_calls) if is_loop and len(text_calls) <= plan.graph.max_steps else None


# --- tool execution ---------------------------------------------------------------------------------------------------


@corruption("execution", "T202")
def invented_key(example: Example, rng: Random) -> str | None:
    """Add a key that the tool does not declare."""
    place = rng.randrange(len(example.calls))
    return _replaced(example, place, args={**example.calls[place].args, "remark": "noted"})


@corruption("execution", "T203")
def missing_key(example: Example, rng: Random) -> str | None:
    """Leave a key out."""
    place = rng.randrange(len(example.calls))
    args = dict(example.calls[place].args)
    del args[rng.choice(list(args))]
    return _replaced(example, place, args=args)


@corruption("execution", "T204")
def repeated_key(example: Example, rng: Random) -> str | None:
    """State a key twice."""
    line = rng.choice(example.calls).render()
    return example.response.render().replace(line, f"{line}; {line.split(']: ', 1)[1].split('; ')[0]}", 1)


@corruption("execution", "T205")
def quoted_word(example: Example, rng: Random) -> str | None:
    """Put quotes around an enum word."""
    return _with_value(example, rng, Word, str)


@corruption("execution", "T206")
def overlong_text(example: Example, rng: Random) -> str | None:
    """Repeat a text until it is longer than its key allows."""
    return _with_value(example, rng, str, lambda text: (text + " and so on") * 15)


@corruption("execution", "T207")
def invented_word(example: Example, rng: Random) -> str | None:
    """Use a word that the key does not have."""
    return _with_value(example, rng, Word, lambda _: Word("unclear"))


# --- evidence ---------------------------------------------------------------------------------------------------------


@corruption("evidence", "E501")
def hallucinated_object(example: Example, rng: Random) -> str | None:
    """Claim one more thing than there is."""
    there = example.query.labels.objects or ()
    names = [name for name in ("apple", "knife", "ball", "saw", "cup", "umbrella") if name not in there]
    return _with_role(example, Role.OBJECTS, (*there, rng.choice(names)))


@corruption("evidence", "E502")
def misread_text(example: Example, rng: Random) -> str | None:
    """Quote something that is not written."""
    texts = example.query.labels.texts or ()
    invented = rng.choice(("", "thank the driver") if texts else ("stay here", "thank the driver"))
    return _with_role(example, Role.WRITTEN_TEXT, invented)


@corruption("evidence", "E503")
def wrong_image_tag(example: Example, _: Random) -> str | None:
    """Tag the picture as what it is not."""
    return _with_role(example, Role.IMAGE_RISK, _other_risk(example.query.labels.image_risk))


# --- decision and answer ----------------------------------------------------------------------------------------------


@corruption("decision", "C401", "E503")
def conflicting_tags(example: Example, rng: Random) -> str | None:
    """State two risks of the words in one trace."""
    places = [place for place, call in enumerate(example.calls) if "text_risk" in call.args]
    if len(places) < 2:
        return None
    place = rng.choice(places)
    args = example.calls[place].args
    return _replaced(example, place, args={**args, "text_risk": _other_risk(example.query.labels.text_risk)})


@corruption("decision", "C402")
def decision_against_risk(example: Example, _: Random) -> str | None:
    """Decide, and answer, against the risk just stated."""
    spoilt = _decided_otherwise(example)
    return None if spoilt is None else spoilt.render()


@corruption("decision", "C404")
def score_against_risk(example: Example, _: Random) -> str | None:
    """Give a score that says the opposite of the risk."""
    is_unsafe = example.query.labels.combined_risk is Risk.UNSAFE
    return _with_role(example, Role.RISK_SCORE, 0.05 if is_unsafe else 0.95)


@corruption("decision", "C403")
def answer_complies(example: Example, _: Random) -> str | None:
    """Decide rightly not to comply, then comply."""
    return _answered_otherwise(example, Risk.UNSAFE, Decision.COMPLY)


@corruption("decision", "C403")
def answer_refuses(example: Example, _: Random) -> str | None:
    """Decide rightly to comply, then refuse."""
    return _answered_otherwise(example, Risk.SAFE, Decision.REFUSE)


@corruption("decision", "E503")
def unsafe_compliance(example: Example, _: Random) -> str | None:
    """Call everything safe and comply with what is not."""
    return _misjudged(example, Risk.UNSAFE)


@corruption("decision", "E503")
def needless_refusal(example: Example, _: Random) -> str | None:
    """Call something harmless unsafe and refuse it."""
    return _misjudged(example, Risk.SAFE)


# --- how they do it ---------------------------------------------------------------------------------------------------


def _replaced(example: Example, place: int, *, tool: str = "", args: dict[str, Value] | None = None) -> str:
    calls = list(example.calls)
    calls[place] = Call(tool or calls[place].tool, calls[place].args if args is None else args)
    return example.with_calls(calls)


def _with_value(example: Example, rng: Random, kind: type[str], change: Callable[[str], str]) -> str | None:
    """Change one value that is exactly of a kind."""
    slots = [
        (place, key)
        for place, call in enumerate(example.calls)
        for key, value in call.args.items()
        if type(value) is kind and value
    ]
    if not slots:
        return None
    place, key = rng.choice(slots)
    args = example.calls[place].args
    return _replaced(example, place, args={**args, key: change(str(args[key]))})


def _set_role(calls: Sequence[Call], plan: Plan, role: Role, value: Value) -> list[Call]:
    """Return the calls with every key of a role set to a value."""
    return [
        Call(call.tool, {key: value if _role_of(plan, call, key) is role else old for key, old in call.args.items()})
        for call in calls
    ]


def _role_of(plan: Plan, call: Call, name: str) -> Role | None:
    key = plan.by_name[call.tool].key(name)
    return key.role if key else None


def _with_role(example: Example, role: Role, value: Value) -> str | None:
    changed = _set_role(example.calls, example.plan, role, value)
    return None if changed == list(example.calls) else example.with_calls(changed)


def _states_decision(example: Example, call: Call) -> bool:
    tool = example.plan.by_name[call.tool]
    return tool.implies is not None or any(key.role is Role.DECISION for key in tool.keys)


def _other_risk(risk: Risk | None) -> Word:
    return Word(Risk.SAFE if risk is Risk.UNSAFE else Risk.UNSAFE)


def _other_decision(example: Example) -> Decision:
    return Decision.COMPLY if example.query.labels.combined_risk is Risk.UNSAFE else Decision.REFUSE


def _decided_otherwise(example: Example) -> Response | None:
    """Return the response with the opposite decision, path and answer, its tags as they were."""
    decision = _other_decision(example)
    query = replace(example.query, labels=replace(example.query.labels, decision=decision))
    answered = example.with_answer(decision)
    if answered is None:
        return None
    calls = [Call(tool.name, template_args(tool, query)) for tool in reference_path(example.plan, decision)]
    return replace(answered, trace=Trace(tuple(calls)))


def _answered_otherwise(example: Example, risk: Risk, decision: Decision) -> str | None:
    if example.query.labels.combined_risk is not risk:
        return None
    answered = example.with_answer(decision)
    return None if answered is None else answered.render()


def _misjudged(example: Example, risk: Risk) -> str | None:
    """Turn the combined risk, and with it score, category, decision and answer, into their opposite."""
    spoilt = _decided_otherwise(example) if example.query.labels.combined_risk is risk else None
    if spoilt is None:
        return None
    is_unsafe = risk is Risk.UNSAFE
    opposite: dict[Role, Value] = {
        Role.COMBINED_RISK: _other_risk(risk),
        Role.RISK_SCORE: 0.05 if is_unsafe else 0.95,
        Role.CATEGORY: Word("none" if is_unsafe else "other"),
    }
    calls: Sequence[Call] = spoilt.trace.calls
    for role, value in opposite.items():
        calls = _set_role(calls, example.plan, role, value)
    return replace(spoilt, trace=Trace(tuple(calls))).render()
