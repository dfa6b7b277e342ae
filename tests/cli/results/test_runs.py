"""`tritrace runs` on a store with a curriculum, a stage under it, and a stage alone."""

import json

import pytest
from typer.testing import CliRunner

from eval.results.samples import Sample
from protocol import Labels
from protocol.errors import UserError
from stages.__main__ import app
from stages.tracking.run import tracked

pytestmark = pytest.mark.torch


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.usefixtures("store")
def test_runs_are_listed_under_their_curriculum_with_their_results():
    sample = Sample(id="a", kind="k", query="q", images=(), plan="{}", labels=Labels(), response="r")
    sample.scores["validity"] = 1.0
    with tracked("alone", {}) as alone:
        pass
    with tracked("curriculum", {}, is_curriculum=True), tracked("stage", {}) as stage:
        stage.log_metrics({"loss": 0.25}, step=1)
        stage.log_samples([sample])
    done = CliRunner().invoke(app, ["runs"])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if "finished" in line]
    assert [line.split()[0] for line in lines] == ["curriculum", "stage", "alone"]
    indents = [len(line) - len(line.lstrip()) for line in lines]
    assert indents == [indents[0], indents[0] + 2, indents[0]]
    assert "100.0" in lines[1]
    assert "loss 0.25" in lines[1]
    found = json.loads(CliRunner().invoke(app, ["runs", "--format", "json"]).output)
    by_name = {run["name"]: run for run in found}
    assert by_name["stage"]["results"] == {"validity": 100.0}
    assert by_name["stage"]["parent"] == by_name["curriculum"]["run_id"]
    assert by_name["alone"]["run_id"] == alone.run_id


def test_a_store_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = CliRunner().invoke(app, ["runs"])
    assert isinstance(done.exception, UserError)
    assert "the tracking store http://127.0.0.1:9 does not answer" in str(done.exception)
