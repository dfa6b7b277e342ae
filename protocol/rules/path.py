"""G3xx: the order of calls against the plan's graph.

Calls of unknown tools are left out (T201 reports them), so that a misspelt name is one diagnostic. After a fault the
walk goes on from the call that was made.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from protocol.plans.tools import Phase
from protocol.response.reading import WrittenCall
from protocol.rules import Finding, Subject, rule


def _steps(subject: Subject) -> list[WrittenCall]:
    return [call for call in subject.reading.calls if call.name in subject.plan.by_name]


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else "".join(names)


@rule("G301")
def wrong_first_tool(subject: Subject) -> Iterator[Finding]:
    """The first call is not a start tool."""
    steps, start = _steps(subject), subject.plan.graph.start
    # A misspelt first tool leaves no way to tell where the trace began.
    if steps and steps[0] is subject.reading.calls[0] and steps[0].name not in start:
        yield Finding(steps[0].start, f"a trace of this plan does not begin with {steps[0].name}", _either(start))


@rule("G302")
def illegal_transition(subject: Subject) -> Iterator[Finding]:
    """A call may not follow the one before."""
    known = subject.plan.by_name
    for before, after in pairwise(subject.reading.calls):
        if before.name not in known or after.name not in known:
            continue
        allowed = subject.plan.graph.successors(before.name)
        if after.name not in allowed:
            may = f"this plan allows {_either(allowed)}" if allowed else "this plan allows only the answer"
            yield Finding(after.start, f"{after.name} may not follow {before.name}", f"after {before.name} {may}")


@rule("G303")
def phase_missing(subject: Subject) -> Iterator[Finding]:
    """No call of a phase. Silent where an unknown tool may belong to the phase, or where the trace is cut off."""
    reading, plan = subject.reading, subject.plan
    if not reading.calls or reading.is_cut_off or any(call.name not in plan.by_name for call in reading.calls):
        return
    present = {plan.phases[call.name] for call in reading.calls}
    for phase in Phase:
        if phase not in present:
            tools = [tool.name for tool in plan.tools if tool.phase is phase]
            yield Finding(reading.calls[-1].start, f"there is no {phase} call", _either(tools))


@rule("G304")
def unfinished(subject: Subject) -> Iterator[Finding]:
    """The last call is not an accepting tool; a trace that is cut off has no last call."""
    calls, accept = subject.reading.calls, subject.plan.graph.accept
    if (
        calls
        and not subject.reading.is_cut_off
        and calls[-1].name in subject.plan.by_name
        and calls[-1].name not in accept
    ):
        yield Finding(calls[-1].start, f"the trace ends after {calls[-1].name}", f"a trace ends with {_either(accept)}")


@rule("G305")
def too_many_steps(subject: Subject) -> Iterator[Finding]:
    """More calls than the plan allows."""
    calls, limit = subject.reading.calls, subject.plan.graph.max_steps
    if len(calls) > limit:
        yield Finding(calls[limit].start, f"the trace has {len(calls)} calls", f"at most {limit}")


@rule("G306")
def too_many_returns(subject: Subject) -> Iterator[Finding]:
    """More steps back to an earlier phase than the plan allows; steps the graph lacks are G302's."""
    walker, limit = subject.plan.walker, subject.plan.graph.max_returns
    returns = 0
    for before, after in pairwise(_steps(subject)):
        is_edge = after.name in subject.plan.graph.successors(before.name)
        returns += is_edge and walker.is_return(before.name, after.name)
        if returns > limit:
            phase = subject.plan.phases[after.name]
            yield Finding(after.start, f"the trace returns to {phase} a further time", f"at most {limit} returns")
            return
