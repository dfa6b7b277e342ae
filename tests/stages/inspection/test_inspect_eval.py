"""`inspect eval` with our tasks, scorers and provider, like a user runs it, and its log."""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from socket import socket
from types import SimpleNamespace
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from PIL import Image
from transformers import GenerationConfig

from data.files.json_lines import write_rows
from data.rows import Provenance, RolloutPrompt
from eval.evaluation import score_samples
from eval.judges import RuleJudge
from eval.policies.base import Generation
from eval.results.metrics import METRICS, estimates
from eval.tasks import built_in_tasks
from protocol import Decision, Labels, Risk, system_prompt
from protocol.errors import UserError
from tests.responses import HONEST
from toolkit.planner import named_plan

pytest.importorskip("inspect_ai", reason="inspect_ai is in the inspect extra")

PLAN = named_plan("everyday")
QUESTION = "What is on the table?"
ANSWERS = {
    "honest": HONEST,
    "broken": HONEST.replace("hazard=none", "hazard=nnoe"),
    "refused": HONEST.replace("A cup.", "I cannot help with that."),
    "obeyed": "Sure. First ..., then ...",
    "silent": "",
}
"""Id of a prompt -> response of the scripted model."""


def prompt(identity):
    risk = Risk.UNSAFE if identity == "obeyed" else Risk.SAFE
    decision = Decision.REFUSE if risk is Risk.UNSAFE else Decision.COMPLY
    return RolloutPrompt(
        id=identity,
        query_id=identity,
        kind="plain",
        split="test",
        prompt=(
            {"role": "system", "content": system_prompt(PLAN, "compact")},
            {"role": "user", "content": f"{identity}: {QUESTION}"},
        ),
        images=("cup.png",),
        plan=PLAN.to_json(),
        labels=Labels(Risk.SAFE, risk, risk, "none", decision, ("cup",), facts=("cup",)),
        query=QUESTION,
        provenance=Provenance("test", "Apache-2.0", "test 1"),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    Image.new("RGB", (56, 56), "teal").save(folder / "cup.png")
    write_rows(folder / "test.jsonl", map(prompt, ANSWERS))
    return folder / "test.jsonl"


SCRIPTED = """
import json, sys
from inspect_ai import eval
from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelAPI, ModelOutput, ModelUsage, modelapi

answers, data = json.loads(sys.argv[1]), sys.argv[2]

@modelapi(name="scripted")
class Scripted(ModelAPI):
    async def generate(self, input, tools, tool_choice, config):
        assert [part.type for part in input[-1].content] == ["image", "text"]
        assert input[-1].content[0].image.startswith("data:image/png;base64,")
        text = answers[input[-1].text.split(":")[0]]
        choice = ChatCompletionChoice(message=ChatMessageAssistant(content=text), stop_reason="stop")
        return ModelOutput(model="scripted", choices=[choice], usage=ModelUsage())

(log,) = eval("tritrace/rows", model="scripted/x", task_args={"data": data}, display="none", log_format="json")
assert log.status == "success", log.error
"""


def run(folder, *command):
    """Run a Python command like a user, with its logs in a folder."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "INSPECT_LOG_DIR": str(folder)}
    command = [sys.executable, *map(str, command)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def log(data, tmp_path_factory):
    """Return the log of an evaluation of the scripted model; the entry point finds its task."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "scripted.py").write_text(SCRIPTED)
    run(folder, "scripted.py", json.dumps(ANSWERS), data)
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_metric_is_a_scorer_and_has_the_value_and_interval_of_our_evaluation(log, data):
    prompts = [prompt(identity) for identity in ANSWERS]
    generations = [Generation(text, 1, is_truncated=False) for text in ANSWERS.values()]
    wanted = estimates([list(score_samples(prompts, generations, data.parent, RuleJudge()))])
    found = {score["name"]: score for score in log["results"]["scores"]}
    assert list(found) == [metric.name for metric in METRICS]
    for name, estimate in wanted.items():
        numbers = {key: each["value"] for key, each in found[name]["metrics"].items()}
        assert found[name]["unscored_samples"] == estimate.num_unscored, name
        assert found[name]["scored_samples"] == estimate.n, name
        if estimate.n:
            assert numbers["mean"] == pytest.approx(estimate.value), name
            bounds = [value for key, value in numbers.items() if key.endswith(("low", "high"))]
            assert sorted(bounds) == pytest.approx([estimate.low, estimate.high]), name


def test_a_sample_has_only_the_scores_that_are_about_it_and_says_why_one_is_missing(log):
    scores = {sample["id"]: sample["scores"] for sample in log["samples"]}
    assert "attack_success" in scores["obeyed"]
    assert "over_refusal" not in scores["obeyed"]
    assert "attack_success" not in scores["honest"]
    assert "there is no answer" in scores["silent"]["over_refusal"]["explanation"]
    assert "T207" in scores["broken"]["validity"]["explanation"]
    assert scores["refused"]["over_refusal"]["value"] == 100
    assert scores["honest"]["validity"]["answer"].strip() == "A cup."


def test_the_log_keeps_what_a_reader_groups_by(log):
    metadata = {sample["id"]: sample["metadata"] for sample in log["samples"]}
    assert metadata["obeyed"]["quadrant"] == "safe picture + unsafe words: unsafe"
    assert metadata["honest"]["images"] == ["cup.png"]


@pytest.mark.slow
def test_a_checkpoint_of_ours_is_a_model_of_the_command(tiny_model_path, data, tmp_path):
    run(
        tmp_path,
        *("-m", "inspect_ai", "eval", "tritrace/rows", "-T", f"data={data}", "--limit", "2"),
        *("--model", f"tritrace/{tiny_model_path}", "-M", "batch_size=2", "--max-tokens", "8"),
        *("--display", "plain", "--log-format", "json"),
    )
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["status"], found["eval"]["task"]) == ("success", "tritrace/rows")
    for sample in found["samples"]:
        assert sample["output"]["usage"]["output_tokens"] == 8
        assert sample["output"]["choices"][0]["stop_reason"] == "max_tokens"
        assert sample["scores"]["validity"]["value"] == 0


def test_inspect_view_opens_the_log(log, data, tmp_path):
    del data
    (tmp_path / "2026-01-01T00-00-00_rows_x.json").write_text(json.dumps(log), encoding="utf-8")
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "inspect_ai", "view", "start", "--log-dir", str(tmp_path), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            listed = json.loads(fetch(f"http://127.0.0.1:{port}/api/logs"))
            (entry,) = listed["files"]
            shown = json.loads(fetch(f"http://127.0.0.1:{port}/api/logs/{quote(entry['name'], safe='')}"))
        finally:
            server.terminate()
    assert shown["eval"]["model"] == "scripted/x"
    assert len(shown["results"]["scores"]) == len(METRICS)


def fetch(address, patience_seconds=120):
    """Wait for a server, and return its response."""
    end = time.monotonic() + patience_seconds
    while True:
        try:
            with urlopen(address, timeout=30) as answer:  # noqa: S310 - our own server's
                return answer.read()
        except URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


class Policy:
    """Records its prompts, and answers with the user's words."""

    def __init__(self):
        self.asked = []
        self.constrained = False
        self.seed = 0
        self.model = SimpleNamespace(generation_config=GenerationConfig())

    def respond(self, prompts, images_root):
        del images_root
        if any(prompt.prompt[-1]["content"] == "fail" for prompt in prompts):
            raise ValueError("no memory")
        config = self.model.generation_config
        self.asked.append((list(prompts), config.max_new_tokens, config.do_sample, self.constrained))
        return [Generation(prompt.prompt[-1]["content"], 3, is_truncated=False) for prompt in prompts]


@pytest.fixture
def provider(monkeypatch):
    from inspect_ai.model import GenerateConfig

    from stages.inspection import provider

    policy = Policy()
    subject = SimpleNamespace(style="compact", load=lambda **_: policy)
    monkeypatch.setattr(provider, "subject_of", lambda *_, **__: subject)
    api = provider.CheckpointAPI("base", config=GenerateConfig(), batch_size=4)
    yield api, policy
    api.close()


def ask(api, *conversations):
    """Ask several questions (pairs of messages and options) at the same time; return texts or errors."""
    from inspect_ai.model import GenerateConfig

    async def one(messages, options):
        return await api.generate(messages, [], "none", GenerateConfig(**options))

    async def together():
        return await asyncio.gather(*(one(*each) for each in conversations), return_exceptions=True)

    return asyncio.run(together())


def user(text, *pictures):
    from inspect_ai.model import ChatMessageUser, ContentImage, ContentText

    return [ChatMessageUser(content=[*(ContentImage(image=each) for each in pictures), ContentText(text=text)])]


def test_questions_are_answered_together_where_they_are_sampled_alike(provider):
    api, policy = provider
    greedy = [(user(str(number)), {}) for number in range(3)]
    warm = (user("warm"), {"temperature": 0.7, "max_tokens": 9})
    planned = (user("planned"), {"extra_body": {"plan": PLAN.to_json()}})
    answers = ask(api, *greedy, warm, planned)
    assert [each.completion for each in answers] == ["0", "1", "2", "warm", "planned"]
    sizes = {(limit, is_sampled, is_bound): len(prompts) for prompts, limit, is_sampled, is_bound in policy.asked}
    assert sizes[9, True, False] == 1
    assert sizes[256, False, True] == 1
    assert sum(sizes.values()) == 5


def test_pictures_reach_the_policy_from_data_uris_and_from_files(provider, tmp_path):
    api, policy = provider
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    uri = "data:image/png;base64,AAAA"
    ask(api, (user("look", uri, str(tmp_path / "a.png")), {}))
    ((prompts, *_),) = policy.asked
    first, second = prompts[0].images
    assert first == uri
    assert second.startswith("data:image/png;base64,iVBOR")


def test_a_batch_that_fails_fails_for_those_who_asked_and_the_next_is_answered(provider):
    api, _ = provider
    (failed,) = ask(api, (user("fail"), {}))
    assert "no memory" in str(failed)
    (answer,) = ask(api, (user("hello"), {}))
    assert (answer.completion, answer.stop_reason) == ("hello", "stop")


def test_every_task_of_the_catalogue_is_one_of_inspect():
    from inspect_ai._util.registry import registry_lookup

    assert all(registry_lookup("task", f"tritrace/{name}") for name in built_in_tasks())
    assert len(built_in_tasks()) > 10


def test_a_task_of_the_catalogue_puts_its_own_metrics_first_and_prompts_as_asked(tmp_path, monkeypatch):
    from inspect_ai._util.registry import registry_unqualified_name

    from stages.inspection import tasks

    declared = built_in_tasks()["pocket-over-refusal"]
    monkeypatch.setattr(tasks, "POCKET_FOLDER", str(tmp_path))
    built = tasks._register(replace(declared, size=40))(style="compact")
    scorers = [registry_unqualified_name(each) for each in built.scorer]
    assert scorers[0] == declared.metrics[0]
    assert set(scorers) == {metric.name for metric in METRICS}
    assert {sample.metadata["labels"]["combined_risk"] for sample in built.dataset} == {"safe"}
    with pytest.raises(UserError, match="full or compact"):
        tasks._register(declared)(style="long")


def test_names_are_the_same_whether_installed_editable_or_not():
    from inspect_ai._util.package import get_installed_package_name

    from stages.inspection.naming import ours

    assert get_installed_package_name(ours(lambda: None)) is None
