"""Secrets that a command gets, or that a server repeats, are in no file, no log and no tracking store."""

import json
import logging
import sys
from contextlib import contextmanager, suppress

import pytest

from data.files.json_lines import write_rows
from data.pocket.world import generate, save
from data.prompts import rollout_prompt
from data.rows import Query
from protocol import Labels, Risk
from stages import grpo, sft
from stages.__main__ import main
from stages.errors import UnchangedError
from stages.export.run import ExportOptions, export_stage
from stages.tracking import store
from tests.endpoints.modes import completion
from tests.endpoints.server import LocalServer, send

PASSWORD, QUERY, KEY, TOKEN = "sesame-in-address", "sesame-in-query", "sesame-of-server", "sesame-of-hub"
SENTINEL = b"sesame"


class Telltale(LocalServer):
    """Repeats address and headers of the request in every reply; every third reply is an error."""

    def __init__(self):
        self.count = 0
        super().__init__()

    def answer(self, handler, _):
        self.count += 1
        told = f"{handler.path} {handler.headers['Authorization']} {PASSWORD} {KEY}"
        if self.count % 3 == 0:
            send(handler, json.dumps({"error": {"message": told}}).encode(), status=400)
            return
        verdict = json.dumps({"reason": told, "safety": 3, "helpfulness": 3, "rigor": 3})
        send(handler, json.dumps(completion(verdict)).encode())

    @property
    def told(self):
        return f"{self.url.replace('http://', f'http://me:{PASSWORD}@')}?key={QUERY}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with Telltale() as server:
        yield server


@pytest.fixture
def nothing_told(capfd, caplog, tmp_path):
    """Return a context that checks all printed, logged and written text."""

    @contextmanager
    def checked():
        caplog.set_level(logging.INFO)
        yield
        assert SENTINEL.decode() not in "".join(capfd.readouterr()) + caplog.text
        paths = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert [path for path in paths if SENTINEL in path.read_bytes()] == []

    return checked


def tritrace(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["tritrace", *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code or 0


def test_a_trained_stage_its_store_and_its_export_hold_no_secret(parse, tmp_path, server, nothing_told, monkeypatch):
    monkeypatch.setattr(store, "LOCAL_ROOT", tmp_path / "store")
    tiny = {"max_steps": 1, "per_device_train_batch_size": 4}
    with nothing_told():
        folder = sft.run(*parse("sft", **tiny))
        cache = {"judge_cache": tmp_path / "kept.sqlite", "judge_max_unscored": 1, "judge_concurrency": 1}
        judged = {"judge": "llm", "judge_url": server.told, "judge_model": "m"} | cache
        export_stage(folder, tmp_path / "export", ExportOptions())
        with suppress(UnchangedError):  # responses of a random model have no reward
            grpo.run(*parse("grpo", parent=folder, max_completion_length=16, **tiny, **judged))
    assert server.count > 1
    assert b"[hidden]@127.0.0.1" in (tmp_path / "store" / "mlflow.db").read_bytes()


def test_an_evaluation_of_a_server_holds_no_secret(tmp_path, server, nothing_told, monkeypatch):
    prompt = rollout_prompt(Query("q", "What?", "k", "test", labels=Labels(combined_risk=Risk.SAFE)), "compact")
    write_rows(tmp_path / "test.jsonl", [prompt] * 7)
    judge = (
        "--judge",
        "llm",
        "--judge-url",
        server.told,
        "--judge-model",
        "m",
        "--judge-cache",
        tmp_path / "kept.sqlite",
    )
    with nothing_told():
        options = ("--data", tmp_path / "test.jsonl", "--output", tmp_path / "out", "--judge-max-unscored", 1)
        code = tritrace(monkeypatch, "eval", "--endpoint", server.told, "--endpoint-model", "m", *options, *judge)
    assert (code, server.count > 5) == (0, True)
    samples = (tmp_path / "out" / "samples.jsonl").read_text()
    assert samples.count("[hidden]") >= 5


def test_a_synthesis_holds_no_secret(tmp_path, server, nothing_told, monkeypatch):
    items = list(generate("train", 5, 0))
    save(items, tmp_path)
    write_rows(tmp_path / "queries.jsonl", [item.query for item in items])
    with nothing_told():
        options = ("--data", tmp_path / "queries.jsonl", "--output", tmp_path / "sft.jsonl", "--max-unanswered", 1)
        code = tritrace(
            monkeypatch, "data", "synthesize", "--teacher-url", server.told, "--teacher-model", "m", *options
        )
    assert code in {0, 1}
    assert "[hidden]" in (tmp_path / "sft.rejected.jsonl").read_text()


@pytest.mark.parametrize(
    "args",
    [
        ("plan", "What?", "--planner", "llm", "--llm", "m", "--base-url"),
        ("chat", "What?", "--endpoint-model", "m", "--endpoint"),
        ("sft", "--config", "stages/recipes/pocket/sft.yaml", "--judge_url"),
        ("eval", "--endpoint-model", "m", "--data", "none.jsonl", "--output", "none", "--endpoint"),
    ],
)
@pytest.mark.parametrize("is_broken", [False, True])
def test_a_message_holds_no_secret(args, is_broken, server, nothing_told, monkeypatch):
    with nothing_told():
        url = server.told.replace("127.0.0.1:", "127.0.0.1:9") if is_broken else server.told
        tritrace(monkeypatch, *args, url)
