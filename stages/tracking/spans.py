"""A response as spans, the way tracing tools show a run: the response, a span a virtual-tool call, and the answer.

Plain values and no tracing library: `traces.py` hands them to MLflow. Nothing was executed and nothing timed,
so spans carry an order and no duration.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.results.outcomes import outcome, quadrant
from eval.results.samples import Sample
from protocol import Call, Plan, diagnose
from protocol.reader import read

_FATAL = ("S", "T", "G")


@dataclass(frozen=True, slots=True)
class ResponseSpan:
    """One thing that a response did."""

    name: str
    """The tool of a call; "response" and "answer" for the two others."""
    inputs: Mapping[str, Any]
    """For a call, where it stands: its phase, the call before it, and what the plan allows there."""
    outputs: Mapping[str, Any]
    """For a call, its keys and values, typed where the plan's type reads them; nothing was executed."""
    diagnostics: tuple[Mapping[str, Any], ...] = ()
    """Those that stand on its lines, as `Diagnostic.to_json` writes them."""

    @property
    def codes(self) -> list[str]:
        """The diagnostics' codes, each once."""
        return list(dict.fromkeys(found["code"] for found in self.diagnostics))

    @property
    def is_error(self) -> bool:
        """Whether there is any diagnostic."""
        return bool(self.diagnostics)


def response_span(sample: Sample) -> ResponseSpan:
    """Return the whole response as a span; it is in error where the response is invalid."""
    fatal = tuple(found for found in sample.diagnostics if found["code"].startswith(_FATAL))
    pictures = [name if not name.startswith("data:") else "data: URI" for name in sample.images]
    plan = Plan.from_json(sample.plan)
    inputs = {"query": sample.query, "images": pictures, "persona": plan.persona.name, "topology": plan.graph.topology}
    outputs = {"answer": read(sample.response).visible_answer, "outcome": str(outcome(sample))}
    return ResponseSpan("response", inputs, outputs, fatal)


def step_spans(sample: Sample) -> list[ResponseSpan]:
    """Return the calls of a response in order, and its answer; a diagnostic is on the step whose lines it names."""
    plan = Plan.from_json(sample.plan)
    verdict = diagnose(sample.response, plan, query=sample.query)
    reading, calls = verdict.reading, verdict.response.trace.calls
    starts = [call.start for call in reading.calls]
    names = [call.tool for call in calls]
    if reading.answer is not None:
        starts.append(reading.answer_start)
    of_step = _by_step(sample, starts)
    spans = [
        ResponseSpan(call.tool, _place(plan, names[:index]), _values(call, plan), tuple(of_step[index]))
        for index, call in enumerate(calls)
    ]
    if reading.answer is not None:
        before = {"after": names[-1] if names else None}
        spans.append(ResponseSpan("answer", before, {"answer": reading.answer}, tuple(of_step[len(names)])))
    return spans


def trace_tags(sample: Sample) -> dict[str, str]:
    """Return what traces are searched by."""
    codes = sorted({str(found["code"]) for found in sample.diagnostics})
    return {
        "sample": sample.id,
        "kind": sample.kind,
        "quadrant": quadrant(sample.labels),
        "outcome": str(outcome(sample)),
        "codes": " ".join(codes) or "none",
    }


def _by_step(sample: Sample, starts: Sequence[int]) -> list[list[Mapping[str, Any]]]:
    """Return the diagnostics of each step; those before the first one belong to the response alone."""
    line_starts = [0, *(index + 1 for index, letter in enumerate(sample.response) if letter == "\n")]
    first_lines = [bisect_right(line_starts, start) for start in starts]
    found: list[list[Mapping[str, Any]]] = [[] for _ in starts]
    for diagnostic in sample.diagnostics:
        step = bisect_right(first_lines, int(diagnostic["line"])) - 1
        if step >= 0:
            found[step].append(diagnostic)
    return found


def _place(plan: Plan, before: Sequence[str]) -> dict[str, Any]:
    last = before[-1] if before else None
    allowed = plan.graph.start if last is None else plan.graph.successors(last)
    return {"after": last, "allowed": list(allowed)}


def _values(call: Call, plan: Plan) -> dict[str, Any]:
    tool = plan.by_name.get(call.tool)
    phase = {"phase": str(tool.phase)} if tool else {}
    return phase | {key: list(value) if isinstance(value, tuple) else value for key, value in call.args.items()}
