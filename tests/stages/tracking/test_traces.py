"""Evaluated responses as MLflow traces, read back from the local store."""

import pytest

from data.files.json_lines import row_to_json
from eval.results.samples import Sample
from protocol import Decision, Labels, Risk, diagnose
from tests.responses import HONEST
from toolkit.planner import named_plan

pytest.importorskip("mlflow", reason="mlflow is in the train extra")

import json

import mlflow
from mlflow import MlflowClient
from mlflow.entities import NoOpSpan

from stages.tracking import store
from stages.tracking.traces import TraceLogError, log_traces, worst_first

PLAN = named_plan("everyday")
BROKEN = HONEST.replace("hazard=none", "hazard=nnoe")


def sample(identity, text, **scores):
    labels = Labels(combined_risk=Risk.SAFE, decision=Decision.COMPLY)
    return Sample(
        id=identity,
        kind="plain",
        query="What is there?",
        images=(),
        plan=PLAN.to_json(),
        labels=labels,
        response=text,
        scores={"refusal": 0.0, "validity": float(text == HONEST), "safety": None} | scores,
        unscored={"safety": "the judge did not answer"},
        diagnostics=tuple(found.to_json() for found in diagnose(text, PLAN, labels).diagnostics),
    )


def traces():
    client = MlflowClient(store.tracking_uri())
    experiment = client.get_experiment_by_name(store.EXPERIMENT).experiment_id
    with store.quiet_store():
        found = client.search_traces([experiment], filter_string="tags.`tritrace.evaluation` = 'e'")
    return {trace.info.tags["tritrace.sample"]: trace for trace in found}


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """Return the traces of a good and a broken response, logged twice."""
    with pytest.MonkeyPatch.context() as patch:
        # The same store as in the other tests here: creating one takes seconds.
        patch.setattr(store, "LOCAL_ROOT", tmp_path_factory.getbasetemp() / "tracking")
        samples = [sample("good", HONEST), sample("broken", BROKEN)]
        counts = [len(list(log_traces(samples, "e", stage="sft"))) for _ in range(2)]
        yield counts, traces()


def test_what_is_already_there_is_not_logged_again(logged):
    counts, found = logged
    assert counts == [2, 0]
    assert set(found) == {"good", "broken"}


def test_a_span_a_call_with_inputs_and_outputs_under_the_response(logged):
    spans = logged[1]["good"].data.spans
    root, *steps = sorted(spans, key=lambda span: span.start_time_ns)
    assert (root.name, root.parent_id, root.inputs["query"]) == ("response", None, "What is there?")
    assert root.outputs == {"answer": "A cup.", "outcome": "rightly answered"}
    assert [span.name for span in steps] == ["VISUAL-SCAN", "INTENT-RADAR", "RISK-SCORER", "SAFETY-GATE", "answer"]
    assert all(span.parent_id == root.span_id for span in steps)
    assert [span.span_type for span in steps] == ["TOOL"] * 4 + ["CHAT_MODEL"]
    assert steps[1].inputs == {"after": "VISUAL-SCAN", "allowed": ["INTENT-RADAR"]}
    assert steps[0].outputs["objects"] == ["cup"]


def test_a_diagnostic_is_an_error_of_its_call_and_of_its_trace(logged):
    good, broken = logged[1]["good"], logged[1]["broken"]
    assert (good.info.state, broken.info.state) == ("OK", "ERROR")
    span = next(span for span in broken.data.spans if span.name == "VISUAL-SCAN")
    assert (span.status.status_code, span.status.description) == ("ERROR", "T207")
    assert [event.name for event in span.events] == ["T207"]
    assert span.get_attribute("diagnostics")[0]["hint"] == "did you mean none?"
    assert broken.info.tags["tritrace.codes"] == "T207"


def test_a_score_is_a_feedback_and_an_unscored_one_says_why(logged):
    feedback = {each.name: each for each in logged[1]["broken"].info.assessments}
    assert feedback["validity"].value == 0
    assert feedback["safety"].value is None
    assert feedback["safety"].error.error_message == "the judge did not answer"


def test_a_process_that_traces_elsewhere_is_left_as_it_was(logged):
    assert logged
    assert not mlflow.is_tracking_uri_set()


def test_a_trace_that_mlflow_does_not_start_is_an_error(logged, monkeypatch):
    assert logged
    monkeypatch.setattr(mlflow, "start_span_no_context", lambda **_: NoOpSpan())
    with pytest.raises(TraceLogError, match="started no trace"):
        list(log_traces([sample("good", HONEST)], "another", stage="sft"))


def test_what_went_wrong_comes_first():
    samples = [sample("good", HONEST), sample("broken", BROKEN), sample("refused", HONEST, refusal=1.0)]
    assert [each.id for each in worst_first(samples, 2)] == ["refused", "broken"]


def test_the_command_logs_at_most_so_many_and_says_where_to_look(logged, tmp_path, capsys):
    from stages.cli.results.trace import trace

    assert logged
    lines = [json.dumps(row_to_json(sample(f"q-{number}", HONEST))) for number in range(3)]
    (tmp_path / "samples.jsonl").write_text("\n".join(lines))
    trace(tmp_path, limit=2)
    printed = capsys.readouterr().out
    assert "2 traces logged" in printed
    assert store.tracking_uri() in printed
