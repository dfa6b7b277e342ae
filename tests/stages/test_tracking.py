import warnings

import pytest

from stages import tracking
from stages.tracking import TrackingWarning, tracked


def runs():
    client = tracking._client()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    return client, client.search_runs([experiment.experiment_id])


def test_a_stage_is_a_child_of_its_curriculum_with_params_and_metrics(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with tracked("curriculum", {}, is_curriculum=True) as parent, tracked("stage", {"long": "x" * 9000}) as child:
        child.log_metrics({"loss": 0.5, "nothing": None, "nan": float("nan"), "flag": True}, step=3)
        child.log_file(tmp_path / "manifest.json")
    client, found = runs()
    by_id = {run.info.run_id: run for run in found}
    stage = by_id[child.run_id]
    assert stage.data.tags["mlflow.parentRunId"] == parent.run_id
    assert stage.info.status == by_id[parent.run_id].info.status == "FINISHED"
    assert stage.data.metrics == {"loss": 0.5}
    assert len(stage.data.params["long"]) == tracking.MAX_PARAM_LENGTH
    assert [file.path for file in client.list_artifacts(child.run_id)] == ["manifest.json"]


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")])
def test_a_run_that_did_not_finish_says_so(error, status):
    with pytest.raises(error), tracked("stage", {}) as run:
        raise error
    assert {found.info.run_id: found.info.status for found in runs()[1]}[run.run_id] == status


def test_a_run_outside_a_curriculum_has_no_parent():
    with tracked("curriculum", {}, is_curriculum=True):
        pass
    with tracked("alone", {}) as run:
        pass
    tags = {found.info.run_id: found.data.tags for found in runs()[1]}
    assert "mlflow.parentRunId" not in tags[run.run_id]


def test_a_store_that_fails_is_said_once_and_stops_nothing(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with tracked("stage", {"a": 1}) as run:
            run.log_metrics({"loss": 0.5}, step=1)
            run.log_file(tmp_path / "file")
    assert [warning.category for warning in caught if warning.category is TrackingWarning] == [TrackingWarning]


def test_an_unreachable_server_stops_nothing(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.warns(TrackingWarning, match="tracking is off"), tracked("stage", {"a": 1}) as run:
        run.log_metrics({"loss": 0.5}, step=1)
