"""From a set's files to checked rows, and for one set to an adapter, with the next command that each command prints."""

import re
import shlex
from dataclasses import replace
from itertools import pairwise
from statistics import fmean

import pytest
from safetensors.numpy import load_file

from data.files.json_lines import read_rows, write_rows
from data.labelled.completion import SetAsideError, complete
from data.rows import Query
from data.sources.declared.registry import built_in_sources
from data.synthesis import reference_response
from eval.results.runs import read_run
from protocol import Decision, Labels, Risk
from stages.rollouts.record.files import read_rollouts
from stages.serving.trained import trained_planner
from stages.spec import STAGES
from tests.data.labelled.vlguard_like import make
from tests.data.sources import samples
from tests.endpoints import Endpoint, says
from tests.endpoints.teacher_model import words_and_pictures
from toolkit.planner import plan_query

pytestmark = pytest.mark.torch

SAMPLES = {
    "beavertails_v": "beavertails-v",
    "spa_vl": "spa-vl",
    "vlguard": "vlguard",
    "mm_safetybench": "mm-safetybench",
    "mssbench": "mssbench",
    "siuo": "siuo",
    "figstep": "figstep",
    "safetag_vl_3k": "safetag-vl-3k",
    "jailbreakv_28k": "jailbreakv-28k",
    "xstest": "xstest",
    "harmbench": "harmbench",
    "llava_instruct": "llava-instruct",
    "scienceqa": "scienceqa",
    "rl_json": "rl-json",
}
HARMLESS = Labels(combined_risk=Risk.SAFE, decision=Decision.COMPLY)
RATING = {"image_risk": 0, "text_risk": 0, "combined_risk": 0, "category": "none", "decision": "comply"}
RATING |= {"confidence": 9}


def test_every_public_set_walks():
    assert set(SAMPLES.values()) == set(built_in_sources())


class StandIn:
    """Judge and teacher: it rates all unlabelled queries as harmless, and responds with templates."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, request):
        words, pictures = words_and_pictures(request["messages"][1])
        if words.startswith("<request>"):
            return says(RATING)
        queries = read_rows(self.folder / "queries.jsonl", Query)
        query = next(each for each in queries if (each.text, len(each.images)) == (words, len(pictures)))
        try:
            whole = complete(query).query
        except SetAsideError:
            whole = complete(replace(query, labels=HARMLESS)).query
        is_harmless = whole.labels.decision is Decision.COMPLY
        answer = f"{query.text} is what was asked." if is_harmless else "I cannot help with that. Please stay safe."
        answered = replace(whole, answers={str(whole.labels.decision): answer})
        return says(reference_response(answered, plan_query(query.text, len(query.images))).render())


def held_out(folder):
    """Hold out one query of a set that is too small for a share; the others become training queries."""
    queries = read_rows(folder / "queries.jsonl", Query)
    chosen = next(each for each in queries if each.labels.combined_risk is not None)
    test = replace(chosen, id=f"{chosen.id}-held-out", text="Tell me a wholly different story about it.")
    train = [replace(each, split="train") for each in queries]
    write_rows(folder / "queries.jsonl", [*train, replace(test, split="validation")])


def run_next(tritrace, err, endpoint):
    """Run the command that the last command printed, with the stand-in's address."""
    command = re.search(r"^next: tritrace (.*)$", err, re.MULTILINE)[1]
    words = [endpoint.url if word == "URL" else "stand-in" if word == "NAME" else word for word in shlex.split(command)]
    return words, *tritrace(*words)


@pytest.mark.torch
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_public_set_walks_from_its_files_to_checked_rows(tritrace, tmp_path, sample):
    path, options, split = getattr(samples, sample)(tmp_path / "raw")
    mine = tmp_path / "mine"
    flags = ["--data", SAMPLES[sample], "--from", path, "--model", "pocket", "--hold-out", "0", "--split", split]
    flags += ["--image-root", options["image_root"]] if "image_root" in options else []
    code, _, err = tritrace("init", mine, *flags)
    assert code == 0
    with Endpoint(StandIn(mine / "data")) as endpoint:
        if "data label" in err:
            words, code, _, err = run_next(tritrace, err, endpoint)
            assert (words[:2], code) == (["data", "label"], 0)
        held_out(mine / "data")
        written = re.findall(r"tritrace (data synthesize .*)", (mine / "README.md").read_text())[0]
        code, _, err = run_next(tritrace, f"next: tritrace {written}", endpoint)[1:]
        assert code == 0, err
        assert read_rows(mine / "data" / "queries.jsonl", Query)
        words, code, out, err = run_next(tritrace, err, endpoint)
        assert (words[:2], code) == (["data", "check"], 0), out
    assert f"next: tritrace preflight --config {mine}/recipes/curriculum.yaml" in err
    assert "- [x] **data check**" in (mine / "README.md").read_text()


SHORT = {
    "sft.max_steps": 60,
    "sft.save_steps": 60,
    "dpo.max_steps": 2,
    "grpo.max_steps": 2,
    "grpo.warmup_steps": 0,
    "grpo.per_device_train_batch_size": 16,
    "grpo.temperature": 1.0,
    "grpo.max_completion_length": 104,
    "eval_max_new_tokens": 104,
}
"""Of the curriculum: long enough that some responses are whole and some are not, so that GRPO has what to prefer."""


@pytest.mark.slow
@pytest.mark.torch
def test_seven_commands_lead_from_labels_to_an_exported_adapter(tritrace, tmp_path):
    mine = tmp_path / "mine"
    code, _, err = tritrace(
        "init", mine, "--data", make(tmp_path / "raw", 24), "--model", "pocket", "--hold-out", "0.2"
    )
    done = []
    while "next: tritrace" in err and "serve" not in err:
        words = shlex.split(re.search(r"^next: tritrace (.*)$", err, re.MULTILINE)[1])
        flags = [f"--{name}={value}" for name, value in SHORT.items()] if words[0] == "curriculum" else []
        code, out, err = tritrace(*words, *flags)
        assert code == 0, (words, out, err)
        done.append(words[0] if words[0] != "data" else words[1])
    assert done == ["template", "check", "preflight", "curriculum", "report", "export"]
    assert (mine / "README.md").read_text().count("- [x]") == 7
    grpo = mine / "run" / "seed-0" / "grpo"
    assert any(rollout["advantage"] for rollout in read_rollouts(grpo))
    weights = [load_file(grpo.with_name(stage) / "adapter" / "adapter_model.safetensors") for stage in STAGES]
    for before, after in pairwise(weights):
        assert before.keys() == after.keys()
        assert any((before[name] != after[name]).any() for name in before)
    assert load_file(mine / "export" / "adapter_model.safetensors").keys() == weights[-1].keys()
    valid = {
        stage: fmean(each.scores["validity"] for each in seeds[0])
        for stage, seeds in read_run(str(mine / "run")).items()
    }
    assert (list(valid), valid["base"]) == (["base", *STAGES], 0)
    assert min(valid[stage] for stage in STAGES) >= 0.4, valid
    assert "VISUAL-SCAN" not in {tool.name for tool in trained_planner(grpo)("What is in the picture?", 1).tools}
