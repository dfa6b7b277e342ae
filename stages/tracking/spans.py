"""Converts a response to spans for tracing tools: the response, each virtual-tool call, and the answer.

The spans are plain values without a tracing library; `traces.py` sends them to MLflow. No tool was executed and no time
was measured, so spans have an order but no duration.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.results.outcomes import outcome, quadrant
from eval.results.samples import Sample
from protocol import Call, Plan, diagnose
from protocol.response.reader import read

_FATAL = ("S", "T", "G")


@dataclass(frozen=True, slots=True)
class ResponseSpan:
    """One span of a response."""

    name: str
    """The tool of a call, or "response" or "answer"."""
    inputs: Mapping[str, Any]
    """For a call: its phase, the call before it, and the calls that the plan allows there."""
    outputs: Mapping[str, Any]
    """For a call: its keys and values, parsed if the plan's type accepts them."""
    diagnostics: tuple[Mapping[str, Any], ...] = ()
    """Diagnostics on its lines, in the format of `Diagnostic.to_json`."""

    @property
    def codes(self) -> list[str]:
        """The codes of the diagnostics, each once."""
        return list(dict.fromkeys(found["code"] for found in self.diagnostics))

    @property
    def is_error(self) -> bool:
        """Whether there is any diagnostic."""
        return bool(self.diagnostics)


def response_span(sample: Sample) -> ResponseSpan:
    """Return the whole response as a span; an invalid response is an error."""
    fatal = tuple(found for found in sample.diagnostics if found["code"].startswith(_FATAL))
    pictures = [name if not name.startswith("data:") else "data: URI" for name in sample.images]
    plan = Plan.from_json(sample.plan)
    inputs = {"query": sample.query, "images": pictures, "persona": plan.persona.name, "topology": plan.graph.topology}
    outputs = {"answer": read(sample.response).visible_answer, "outcome": str(outcome(sample))}
    return ResponseSpan("response", inputs, outputs, fatal)


def step_spans(sample: Sample) -> list[ResponseSpan]:
    """Return spans for the calls of a response, in order, and for its answer; each has the diagnostics of its lines."""
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
    """Return the tags for searching traces."""
    codes = sorted({str(found["code"]) for found in sample.diagnostics})
    return {
        "sample": sample.id,
        "kind": sample.kind,
        "quadrant": quadrant(sample.labels),
        "outcome": str(outcome(sample)),
        "codes": " ".join(codes) or "none",
    }


def _by_step(sample: Sample, starts: Sequence[int]) -> list[list[Mapping[str, Any]]]:
    """Return the diagnostics of each step; diagnostics before the first step belong only to the response."""
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
