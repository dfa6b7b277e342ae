"""What `tritrace eval` can be pointed at: a base model, a merged one, a stage, each also quantised, and a server."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from data.files import read_rows
from data.rows import RolloutPrompt
from eval.endpoint import EndpointPolicy, EndpointSettings
from eval.policies import HFPolicy
from protocol.errors import UserError
from stages import sft
from stages.manifest import read_manifest
from stages.policies import subject_of


@pytest.fixture
def prompts(rows_folder):
    return read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)


def texts(policy, prompts, root):
    return [generation.text for generation in policy.respond(prompts, root)]


def test_a_merged_model_answers_as_the_stage_in_it(parse, tiny_model_path, rows_folder, tmp_path, prompts):
    stage = sft.run(*parse("sft", max_pixels=784, preflight=False))
    adapted = subject_of(None, stage).load(batch_size=4, max_new_tokens=8)
    merged = tmp_path / "merged"
    adapted.model.save_pretrained(merged)
    adapted.processor.save_pretrained(merged)
    (merged / "manifest.json").write_bytes((stage / "manifest.json").read_bytes())
    subject = subject_of(str(merged))
    assert subject.manifest == read_manifest(stage / "manifest.json")
    assert subject.style == subject_of(None, stage).style == "compact"
    loaded = subject.load(batch_size=4, max_new_tokens=8)
    assert loaded.processor.image_processor.size["longest_edge"] == 784
    assert texts(loaded, prompts, rows_folder) == texts(adapted, prompts, rows_folder)
    assert texts(HFPolicy(tiny_model_path, batch_size=4, max_new_tokens=8), prompts, rows_folder) != texts(
        adapted, prompts, rows_folder
    )
    identities = [subject_of(None, stage).identity(), subject.identity(), subject_of(str(tiny_model_path)).identity()]
    assert len({str(identity) for identity in identities}) == 3


def test_a_quantised_checkpoint_answers_and_is_told_from_the_plain_one(tiny_model_path, rows_folder, prompts):
    plain, quantised = subject_of(str(tiny_model_path)), subject_of(str(tiny_model_path), quantise=True)
    assert quantised.load_in_4bit
    assert "load_in_4bit" not in plain.identity()
    assert quantised.identity() == {**plain.identity(), "load_in_4bit": True}
    policy = quantised.load(batch_size=4, max_new_tokens=2)
    assert any("4bit" in type(module).__name__ for module in policy.model.modules())
    assert len(policy.respond(prompts, rows_folder)) == len(prompts)


def test_a_subject_is_one_thing():
    with pytest.raises(UserError, match="either a base model or the folder of a stage"):
        subject_of()


@pytest.mark.slow
def test_a_served_checkpoint_answers_as_the_local_one(tiny_model_path, rows_folder, prompts):
    """`transformers serve` is a real server: its greedy responses are those of a local policy of batch size 1."""
    pytest.importorskip("fastapi")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(tiny_model_path)]
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], env=dict(os.environ))
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        settings = EndpointSettings(
            url=f"http://127.0.0.1:{port}/v1", model=str(tiny_model_path), max_new_tokens=8, concurrency=2
        )
        served = EndpointPolicy(settings).respond(prompts, rows_folder)
    finally:
        process.terminate()
        process.wait()
    local = HFPolicy(tiny_model_path, batch_size=1, max_new_tokens=8, dtype="float32").respond(prompts, rows_folder)
    assert [each.failure for each in served] == [""] * len(prompts)
    assert [each.text for each in served] == [each.text for each in local]


def _wait_for(url, process):
    for _ in range(600):
        assert process.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.5)
    pytest.fail("the server did not start")
