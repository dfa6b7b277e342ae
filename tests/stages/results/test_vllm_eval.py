"""`tritrace eval --vllm`: the inputs of the process, and the handling of its responses and failures.

vLLM needs a GPU and is not run here. A stand-in for its modules records its inputs and responds from them. If
TRITRACE_VLLM_PYTHON names an interpreter with vLLM, vLLM's own classes check the arguments.
"""

import json
import os
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import save_file
from typer.testing import CliRunner

from data.files.json_lines import read_rows
from data.rows import RolloutPrompt
from eval.models.options import LoadOptions
from eval.models.processors import tokenizer_of
from eval.policies.checkpoint import HFPolicy
from eval.policies.dialects import structured_outputs
from eval.results.samples import read_samples
from protocol.errors import UserError
from stages import sft
from stages.__main__ import app
from stages.results.subjects import subject_of
from stages.results.vllm import VLLMError, VLLMPolicy, VLLMSettings, adapter_rank

STAND_IN = """
import json, os, sys
from types import SimpleNamespace as Some

HERE = os.path.dirname(__file__)

class LLM:
    def __init__(self, **engine):
        self.told = {"engine": engine, "calls": []}

    def generate(self, prompts, params, *, use_tqdm, lora_request):
        self.told["calls"].append([
            {"tokens": prompt["prompt_token_ids"], "params": vars(each),
             "sizes": [picture.size for picture in prompt.get("multi_modal_data", {}).get("image", [])]}
            for prompt, each in zip(prompts, params, strict=True)])
        self.told["adapter"] = lora_request and list(lora_request)
        json.dump(self.told, open(os.path.join(HERE, "told.json"), "w"), default=vars)
        if os.path.exists(os.path.join(HERE, "fail")):
            if len(self.told["calls"]) > 1:
                sys.exit(7)
        return [Some(outputs=[Some(text=f"{len(prompt['prompt_token_ids'])} tokens", token_ids=[1, 2, 3],
                finish_reason="length" if place == 1 else "stop")]) for place, prompt in enumerate(prompts)]
"""
LORA = "def LoRARequest(*given):\n    return given\n"
SAMPLING = (
    "from types import SimpleNamespace\n"
    "def SamplingParams(**given):\n    return SimpleNamespace(**given)\n"
    "StructuredOutputsParams = SamplingParams\n"
)


@pytest.fixture
def python(tmp_path):
    """Return an interpreter with the stand-in, which cannot import this project."""
    package = tmp_path / "modules" / "vllm"
    (package / "lora").mkdir(parents=True)
    for name, text in {
        "__init__": STAND_IN,
        "lora/__init__": "",
        "lora/request": LORA,
        "sampling_params": SAMPLING,
    }.items():
        (package / f"{name}.py").write_text(text)
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={package.parent} exec {sys.executable} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def told(python):
    return lambda: json.loads((python.parent / "modules" / "vllm" / "told.json").read_text())


def policy_of(python, model, **options):
    settings = VLLMSettings(python=str(python), model=str(model), max_new_tokens=8, dtype="float32")
    return VLLMPolicy(settings, LoadOptions(**options), label="")


def test_vllm_is_given_the_tokens_pictures_and_ends_that_transformers_is(python, told, tiny_model_path, rows_folder):
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[:4]
    answers = policy_of(python, tiny_model_path).respond(prompts, rows_folder)
    ours = HFPolicy(tiny_model_path, max_new_tokens=8, dtype="float32")
    tokenizer = tokenizer_of(ours.processor)
    place = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    (asked,) = told()["calls"]
    lengths = []
    for prompt, given in zip(prompts, asked, strict=True):
        expanded = ours._encode([prompt], rows_folder)["input_ids"][0].tolist()
        once = [token for number, token in enumerate(expanded) if token != place or expanded[number - 1] != place]
        assert given["tokens"] == once
        assert len(given["sizes"]) == len(prompt.images)
        assert given["params"]["stop_token_ids"] == ours.model.generation_config.eos_token_id
        assert (given["params"]["temperature"], given["params"]["max_tokens"]) == (0.0, 8)
        assert given["params"]["structured_outputs"] is None
        lengths.append(len(expanded))
    engine = told()["engine"]
    assert engine["max_model_len"] == max(lengths) + 8
    assert engine["limit_mm_per_prompt"] == {"image": 1}
    assert (engine["generation_config"], engine["load_format"]) == ("vllm", "safetensors")
    assert "enable_lora" not in engine
    assert [answer.text for answer in answers] == [f"{len(given['tokens'])} tokens" for given in asked]
    assert [answer.is_truncated for answer in answers] == [False, True, False, False]
    assert answers[0].num_tokens == 3


def test_pictures_that_vllm_would_scale_again_are_refused(python, tiny_model_path, rows_folder):
    """The tiny model's own bounds allow only one size; `tests/families/test_vllm.py` has bounds that can be met."""
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[1:2]
    with pytest.raises(UserError, match="cannot use pictures within these bounds, because vLLM would scale them again"):
        policy_of(python, tiny_model_path, min_pixels=28 * 28, max_pixels=28 * 28).respond(prompts, rows_folder)


def test_the_grammar_of_each_plan_goes_along(python, told, tiny_model_path, rows_folder):
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[:1]
    settings = VLLMSettings(python=str(python), model=str(tiny_model_path), max_new_tokens=2000)
    policy = VLLMPolicy(settings, LoadOptions(), label="")
    policy.constrained = True
    policy.respond(prompts, rows_folder)
    ((given,),) = told()["calls"]
    assert given["params"]["structured_outputs"] == structured_outputs(prompts[0].plan)
    assert told()["engine"]["structured_outputs_config"] == {"backend": "guidance"}


def test_a_stage_goes_along_as_lora_and_what_was_answered_is_kept(python, told, parse, rows_folder, monkeypatch):
    stage = sft.run(*parse("sft", max_steps=1))
    policy = subject_of(stage=stage).load_vllm(str(python), max_new_tokens=8)
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)
    monkeypatch.setattr(policy, "label", "")
    kept = {}
    fail = python.parent / "modules" / "vllm" / "fail"
    fail.touch()
    many = prompts * 24  # more than one group
    with pytest.raises(VLLMError, match="vLLM ended with exit code 7; its output is above"):
        policy.respond(many, rows_folder, keep=lambda place, answer: kept.update({place: answer}))
    assert sorted(kept) == list(range(256))
    fail.unlink()
    assert len(policy.respond(many, rows_folder, done=kept)) == len(many)
    assert [len(call) for call in told()["calls"]] == [len(many) - 256]
    assert told()["adapter"] == ["tritrace", 1, str((stage / "adapter").resolve())]
    assert (told()["engine"]["enable_lora"], told()["engine"]["max_lora_rank"]) == (True, 8)


def test_the_command_evaluates_by_it(python, tiny_model_path, rows_folder, tmp_path):
    flags = ["--model", tiny_model_path, "--data", rows_folder / "grpo.jsonl", "--output", tmp_path / "out"]
    more = ["--vllm", python, "--max-prompts", "3", "--max-new-tokens", "8", "--judge-max-unscored", "1"]
    done = CliRunner().invoke(app, ["eval", *map(str, [*flags, *more])])
    assert done.exit_code == 0, done.output
    assert len(read_samples(tmp_path / "out" / "samples.jsonl")) == 3
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["engine"] == "vllm"


def test_an_interpreter_without_vllm_is_told(tiny_model_path, rows_folder, tmp_path):
    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[:1]
    with pytest.raises(VLLMError, match="has no vLLM; name an interpreter with vLLM"):
        policy_of(sys.executable, tiny_model_path).respond(prompts, rows_folder)
    with pytest.raises(VLLMError, match="nowhere: cannot be started: No such file or directory"):
        policy_of(tmp_path / "nowhere", tiny_model_path).respond(prompts, rows_folder)


@pytest.mark.parametrize(
    ("config", "module", "wanted"),
    [
        ({"r": 4}, "model.visual.blocks.0.attn.qkv", "adapts the vision tower"),
        ({"r": 4, "use_dora": True}, "model.layers.0.q_proj", "DoRA"),
        ({"r": 600}, "model.layers.0.q_proj", "has rank 600, vLLM takes at most 512"),
    ],
)
def test_an_adapter_that_vllm_cannot_serve_is_refused_with_the_way_out(config, module, wanted, tmp_path):
    LoraConfig(target_modules=[module.rpartition(".")[2]], **config).save_pretrained(tmp_path)
    name = f"base_model.model.{module}"
    shapes = {"lora_A": (config["r"], 8), "lora_B": (8, config["r"])}
    save_file(
        {f"{name}.{part}.weight": torch.zeros(shape) for part, shape in shapes.items()},
        tmp_path / "adapter_model.safetensors",
    )
    with pytest.raises(VLLMError, match=f"{wanted}.*tritrace export --merge"):
        adapter_rank(tmp_path)


ASKED = """
import json, sys
from vllm.engine.arg_utils import EngineArgs
from vllm.lora.request import LoRARequest
from vllm.sampling_params import SamplingParams, StructuredOutputsParams
told = json.load(open(sys.argv[1]))
EngineArgs(**told["engine"])
LoRARequest(*told["adapter"])
for call in told["calls"]:
    for given in call:
        SamplingParams(**given["params"])
StructuredOutputsParams(grammar="start: /a/")
"""


@pytest.mark.skipif(
    "TRITRACE_VLLM_PYTHON" not in os.environ, reason="TRITRACE_VLLM_PYTHON names no interpreter with vLLM"
)
def test_vllms_own_classes_take_the_arguments(python, parse, rows_folder):
    stage = sft.run(*parse("sft", max_steps=1))
    policy = subject_of(stage=stage).load_vllm(str(python), max_new_tokens=8)
    policy.respond(read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[:2], rows_folder)
    path = python.parent / "modules" / "vllm" / "told.json"
    subprocess.run([os.environ["TRITRACE_VLLM_PYTHON"], "-c", ASKED, str(path)], check=True)
