import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from eval.results.samples import Sample
from protocol import Labels
from stages.tracking import patience, store
from stages.tracking.files import LOCAL_METRICS, read_metric
from stages.tracking.patience import FIRST_WAIT_SECONDS, Patience
from stages.tracking.run import MAX_PARAM_LENGTH, TrackingWarning, run_of, tracked


def runs():
    client = store.open_client()
    experiment = client.get_experiment_by_name(store.EXPERIMENT)
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
    assert len(stage.data.params["long"]) == MAX_PARAM_LENGTH
    assert [file.path for file in client.list_artifacts(child.run_id)] == ["manifest.json", "recipe.yaml"]


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
    with pytest.warns(TrackingWarning, match="does not answer"), tracked("stage", {"a": 1}) as run:
        run.log_metrics({"loss": 0.5}, step=1)


def test_what_a_store_missed_waits_for_it_and_is_tried_seldom(monkeypatch):
    now, asked, troubles = [100.0], [], []
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    is_away = [True]

    def log(number):
        asked.append(number)
        if is_away[0]:
            raise ConnectionError("refused")

    store = Patience(troubles.append)
    for number in range(3):
        store.do(partial(log, number))
    assert (asked, store.num_waiting) == ([0], 3)
    now[0] += FIRST_WAIT_SECONDS
    store.catch_up()
    now[0] += FIRST_WAIT_SECONDS  # now it waits twice as long
    store.catch_up()
    assert asked == [0, 0]
    is_away[0] = False
    store.catch_up(at_once=True)
    assert (asked, store.num_waiting, troubles) == ([0, 0, 0, 1, 2], 0, ["does not answer: refused"])


def test_what_a_store_refuses_is_not_offered_again():
    class RefusedError(Exception):
        error_code = "INVALID_PARAMETER_VALUE"

    def refuse():
        raise RefusedError("too long")

    done, troubles = [], []
    store = Patience(troubles.append)
    for action in (refuse, lambda: done.append(1), refuse):
        store.do(action)
    assert (done, store.num_waiting, troubles) == ([1], 0, ["does not take what it is given: too long"])


def test_what_is_resumed_continues_its_run_and_its_numbers_stand_once(tmp_path):
    with suppress(KeyboardInterrupt), tracked("stage", {"a": 1}, home=tmp_path) as first:
        for step in (1, 2, 3):
            first.log_metrics({"loss": step}, step)
        raise KeyboardInterrupt
    with tracked("stage", {"a": 1}, home=tmp_path, first_step=2) as second:
        second.log_metrics({"loss": 30}, 3)
    assert second.run_id == first.run_id
    (status,) = [run.info.status for run in runs()[1] if run.info.run_id == first.run_id]
    assert status == "FINISHED"
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": step, "loss": value} for step, value in ((1, 1), (2, 2), (3, 30))
    ]
    with tracked("stage", {"a": 2}, home=tmp_path) as other:
        pass
    assert other.run_id != first.run_id


def test_the_whole_recipe_and_the_samples_are_artifacts(tmp_path):
    recipe = {"long": "x" * 9000, "nothing": None, "many": [1, 2]}
    samples = [
        Sample(
            id="a", kind="k", query="q", images=(), plan="{}", labels=Labels(), response="r", scores={"validity": 1.0}
        )
    ]
    with tracked("stage", recipe, home=tmp_path) as run:
        pass
    for _ in range(2):
        run_of(tmp_path).log_samples(samples)
    client, found = runs()
    assert yaml.safe_load(mlflow_text(client, run.run_id, "recipe.yaml", tmp_path)) == recipe
    (name,) = [file.path for file in client.list_artifacts(run.run_id) if file.path.startswith("samples-")]
    table = json.loads(mlflow_text(client, run.run_id, name, tmp_path))
    assert len(table["data"]) == 1
    (metrics,) = [each.data.metrics for each in found if each.info.run_id == run.run_id]
    assert metrics["eval/validity"] == 100.0


def mlflow_text(client, run_id, name, folder):
    return Path(client.download_artifacts(run_id, name, str(folder))).read_text()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Return a function that starts a real `mlflow server` on loopback, always on the same port, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    started = []

    def start():
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
        ]
        command += [
            "--backend-store-uri",
            f"sqlite:///{tmp_path}/server.db",
            "--artifacts-destination",
            f"{tmp_path}/kept",
        ]
        log = (tmp_path / "server.log").open("ab")
        started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
        log.close()
        while True:
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
                assert reply.status == 200
                return started[-1]
            assert started[-1].poll() is None, (tmp_path / "server.log").read_text()
            time.sleep(0.2)

    yield start
    for process in started:
        stop(process)


def stop(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_server_that_goes_away_in_the_middle_costs_neither_the_training_nor_numbers(server, tmp_path):
    process = server()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", TrackingWarning)
        with tracked("stage", {"long": "x" * 9000}, home=tmp_path) as run:
            run.log_metrics({"loss": 3.0}, step=1)
            stop(process)
            began = time.monotonic()
            for step in range(2, 50):
                run.log_metrics({"loss": 1 / step}, step)
            assert time.monotonic() - began < 60  # one time-out, not one for each step
            assert run.patience.num_waiting == 48
            server()
    assert [each.category for each in said].count(TrackingWarning) == 1
    assert run.patience.num_waiting == 0
    client = store.open_client()
    assert len(client.get_metric_history(run.run_id, "loss")) == 49
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(run.run_id)} == {"recipe.yaml"}
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 49


def test_a_number_is_read_back_by_step_and_a_line_that_was_cut_is_left_out(tmp_path):
    with tracked("stage", {}, home=tmp_path) as run:
        run.log_metrics({"loss": 0.5}, step=1)
        run.log_metrics({"reward": 1.0}, step=1)
        run.log_metrics({"loss": 0.25}, step=10)
    with (tmp_path / LOCAL_METRICS).open("a") as file:
        file.write('{"step": 20, "lo')
    assert read_metric(tmp_path, "loss") == {1: 0.5, 10: 0.25}
    assert read_metric(tmp_path, "never") == read_metric(tmp_path / "nowhere", "loss") == {}
