"""Logs evaluated responses as MLflow traces: a trace per response, a span per virtual-tool call, a feedback per score.

`spans.py` defines the content of the spans. Traces go to the same store as the runs (`run.py`). A trace that exists
already, for the same evaluation and sample, is not logged again.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import AssessmentError, AssessmentSource, NoOpSpan, SpanEvent, SpanStatus, SpanStatusCode, SpanType
from mlflow.exceptions import MlflowException

from data.files.json_lines import file_fingerprint
from eval.results.outcomes import outcome
from eval.results.samples import Sample
from protocol.errors import UserError
from stages.tracking.spans import ResponseSpan, response_span, step_spans, trace_tags
from stages.tracking.store import experiment_id, open_client, quiet_store, shown_uri, tracking_uri

PREFIX = "tritrace."
_STEP_NS = 1_000_000
"""Time between the spans of a trace. It only states their order, because no time was measured."""
_SOURCE = AssessmentSource("CODE", "tritrace")
_SCORES = ("safety", "helpfulness", "rigor", "validity", "coherence", "tags", "decision", "grounding", "refusal")
"""The scores that become feedback; the root span has all scores."""


class TraceLogError(UserError):
    """The tracking store could not be used; the message names the store and the reason."""


def log_traces(samples: Sequence[Sample], evaluation: str, *, stage: str, run_id: str | None = None) -> Iterator[str]:
    """Log the responses that the store does not have yet, and yield the id of each new trace.

    Args:
        samples: the responses.
        evaluation: name of the evaluation, such as its folder and fingerprint; a tag for searching.
        stage: name of the stage; a tag.
        run_id: id of the MLflow run that the traces belong to.

    Raises:
        TraceLogError: the store cannot be used.
    """
    with _store() as experiment:
        known = set(_logged(experiment, evaluation))
        for sample in samples:
            if sample.id not in known:
                yield _log(sample, experiment, {"evaluation": evaluation, "stage": stage}, run_id)


@contextmanager
def _store() -> Iterator[str]:
    """Direct MLflow's tracing to the tracking store and yield the experiment's id; other settings do not change."""
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    try:
        with quiet_store():
            experiment = experiment_id(open_client())
            mlflow.set_tracking_uri(tracking_uri())
            yield experiment
    except MlflowException as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TraceLogError(f"{shown_uri()}: traces could not be logged: {reason}") from error
    finally:
        mlflow.set_tracking_uri(before)


def _logged(experiment: str, evaluation: str) -> Iterator[str]:
    """Yield the ids of samples of an evaluation that have a trace."""
    client, token = MlflowClient(tracking_uri()), None
    while True:
        found = client.search_traces(
            [experiment],
            filter_string=f"tags.`{PREFIX}evaluation` = {json.dumps(evaluation)}",
            max_results=500,
            page_token=token,
            include_spans=False,
        )
        yield from (trace.info.tags[f"{PREFIX}sample"] for trace in found)
        token = found.token
        if not token:
            return


def _log(sample: Sample, experiment: str, tags: Mapping[str, str], run_id: str | None) -> str:
    tags = {**tags, **trace_tags(sample)}
    whole, start = response_span(sample), time.time_ns()
    steps = step_spans(sample)
    root = mlflow.start_span_no_context(
        name=whole.name,
        span_type=SpanType.AGENT,
        inputs=whole.inputs,
        attributes=_attributes(sample),
        tags={PREFIX + name: value for name, value in tags.items()} | {"mlflow.traceName": sample.id},
        metadata={"mlflow.sourceRun": run_id} if run_id else None,
        experiment_id=experiment,
        start_time_ns=start,
    )
    if isinstance(root, NoOpSpan):
        raise TraceLogError(f"{shown_uri()}: MLflow started no trace; MLFLOW_ENABLE_TRACING or its log says why")
    for number, step in enumerate(steps, start=1):
        _log_step(root, step, start + number * _STEP_NS)
    _end(root, whole, start + (len(steps) + 1) * _STEP_NS)
    mlflow.flush_trace_async_logging()
    trace_id = str(root.trace_id)
    _log_scores(trace_id, sample)
    return trace_id


def _log_step(root: Any, step: ResponseSpan, start: int) -> None:
    is_answer = step.name == "answer"
    span = mlflow.start_span_no_context(
        name=step.name,
        span_type=SpanType.CHAT_MODEL if is_answer else SpanType.TOOL,
        parent_span=root,
        inputs=step.inputs,
        start_time_ns=start,
    )
    _end(span, step, start + _STEP_NS)


def _end(span: Any, step: ResponseSpan, end: int) -> None:
    for found in step.diagnostics:
        told = {name: str(value) for name, value in found.items() if value not in {"", None}}
        span.add_event(SpanEvent(found["code"], end // 1000, told))
    if step.diagnostics:
        span.set_attribute("diagnostics", [dict(found) for found in step.diagnostics])
    status = SpanStatus(
        SpanStatusCode.ERROR if step.is_error else SpanStatusCode.OK, ", ".join(step.codes) if step.is_error else ""
    )
    span.end(outputs=dict(step.outputs), status=status, end_time_ns=end)


def _attributes(sample: Sample) -> Mapping[str, Any]:
    return {
        "scores": dict(sample.scores),
        "unscored": dict(sample.unscored),
        "response": sample.response,
        "num_tokens": sample.num_tokens,
        "labels": sample.labels.to_json(),
    }


def _log_scores(trace_id: str, sample: Sample) -> None:
    for name in _SCORES:
        if name not in sample.scores:
            continue
        value = sample.scores[name]
        reason = sample.unscored.get(name, "unscored")
        error = AssessmentError("UNSCORED", reason) if value is None else None
        mlflow.log_feedback(trace_id=trace_id, name=name, value=value, error=error, source=_SOURCE)


def evaluation_name(samples_path: Path) -> str:
    """Return the name of a `samples.jsonl` for its traces: its path and its content hash."""
    return f"{samples_path.parent} {file_fingerprint(samples_path)}"


def worst_first(samples: Iterable[Sample], limit: int) -> list[Sample]:
    """Return at most `limit` samples: first wrong outcomes, then samples with diagnostics, then the others."""

    def merit(sample: Sample) -> tuple[bool, bool]:
        return outcome(sample).is_right is not False, not sample.diagnostics

    return sorted(samples, key=merit)[:limit]
