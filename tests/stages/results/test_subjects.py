"""The models of `tritrace eval`: a base model, a merged model, a stage, each also quantised, and a server."""

import pytest

from data.files.json_lines import read_rows
from data.rows import RolloutPrompt
from eval.policies.checkpoint import HFPolicy
from eval.policies.endpoint import EndpointPolicy, EndpointSettings
from protocol.errors import UserError
from stages import sft
from stages.provenance.manifest import read_manifest
from stages.results.subjects import subject_of
from tests.endpoints.served_model import served


@pytest.fixture
def prompts(rows_folder):
    return read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)


def texts(policy, prompts, root):
    return [generation.text for generation in policy.respond(prompts, root)]


@pytest.fixture
def stage(parse):
    return sft.run(*parse("sft", max_pixels=784, preflight=False))


@pytest.fixture
def merged(stage, tmp_path):
    """Return the folder of a merged model, with the manifest of its stage."""
    folder = tmp_path / "merged"
    adapted = subject_of(None, stage).load()
    adapted.model.save_pretrained(folder)
    adapted.processor.save_pretrained(folder)
    (folder / "manifest.json").write_bytes((stage / "manifest.json").read_bytes())
    return folder


def test_a_merged_model_answers_as_the_stage_in_it(stage, merged, tiny_model_path, rows_folder, prompts):
    subjects = [subject_of(None, stage), subject_of(str(merged)), subject_of(str(tiny_model_path))]
    assert subjects[1].manifest == read_manifest(stage / "manifest.json")
    assert [subject.style for subject in subjects] == ["compact", "compact", "full"]
    assert len({str(subject.identity()) for subject in subjects}) == 3
    policies = [subject.load(batch_size=4, max_new_tokens=8) for subject in subjects]
    assert policies[1].processor.image_processor.size["longest_edge"] == 784
    adapted, alone, base = (texts(policy, prompts, rows_folder) for policy in policies)
    assert alone == adapted != base


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
def test_a_served_checkpoint_answers_as_the_local_one(merged, rows_folder, prompts):
    """`transformers serve` is a real server: its greedy responses equal those of a local policy, stripped."""
    pytest.importorskip("fastapi")
    with served(merged) as url:
        settings = EndpointSettings(url=url, model=str(merged), max_new_tokens=8, concurrency=2)
        answers = EndpointPolicy(settings).respond(prompts, rows_folder)
    local = HFPolicy(merged, batch_size=1, max_new_tokens=8, dtype="float32").respond(prompts, rows_folder)
    assert [each.failure for each in answers] == [""] * len(prompts)
    assert [each.text for each in answers] == [each.text.strip() for each in local]
    assert any(each.text for each in answers)
    assert [each.is_truncated for each in answers] == [each.is_truncated for each in local]
