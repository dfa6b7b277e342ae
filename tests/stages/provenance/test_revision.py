"""All parts read a base from the hub at the same commit. The hub is a cache with two commits."""

import shutil

import huggingface_hub
import pytest
import torch

from eval.models.loading import load_config, load_model
from eval.models.options import LoadOptions
from eval.models.processors import load_processor
from eval.models.reading import ModelError
from eval.models.revision import model_revision
from stages import dpo, sft
from stages.curriculum import open_curriculum
from stages.errors import StageError
from stages.export.run import ExportOptions, export_stage
from stages.provenance.chain import broken, read_chain
from stages.provenance.manifest import read_manifest
from stages.rehearsal.command import prepare
from stages.results.subjects import subject_of
from tests.conftest import REPOSITORY

NAME = "org/tiny"
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture
def hub(tiny_model_path, tmp_path, monkeypatch):
    """Fill a hub cache with a model that has two commits; main points to the second, which has other weights."""
    cache = tmp_path / "hub"
    folder = cache / "models--org--tiny"
    for commit in (FIRST, SECOND):
        shutil.copytree(tiny_model_path, folder / "snapshots" / commit)
    model = load_model(str(tiny_model_path), dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    model.save_pretrained(folder / "snapshots" / SECOND)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(FIRST)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def move_main(commit):
        (folder / "refs" / "main").write_text(commit)

    return move_main


def embedding(model):
    return model.get_input_embeddings().weight


def test_a_revision_is_what_is_loaded(hub):
    hub(SECOND)
    first, main = LoadOptions(revision=FIRST), LoadOptions()
    one, other = (load_model(NAME, dtype=torch.float32, options=options) for options in (first, main))
    assert torch.equal(1.5 * embedding(one), embedding(other))
    assert load_processor(NAME, first).chat_template
    assert load_config(NAME, first).model_type == "qwen2_5_vl"
    assert (model_revision(NAME, FIRST), model_revision(NAME)) == (FIRST, SECOND)
    with pytest.raises(ModelError, match=NAME):
        load_config(NAME, LoadOptions(revision="3" * 40))


def test_a_pinned_stage_outlives_the_next_commit_and_an_unpinned_one_names_the_pin(hub, parse, tmp_path, capsys):
    pinned = {"model": NAME, "revision": FIRST, "max_steps": 1}
    parent = sft.run(*parse("sft", **pinned))
    manifest = read_manifest(parent / "manifest.json")
    assert (manifest.model_revision, manifest.recipe["revision"]) == (FIRST, FIRST)
    hub(SECOND)
    sft.run(*parse("sft", **pinned))
    assert "skipped" in capsys.readouterr().out
    dpo.run(*parse("dpo", parent=parent, **pinned))
    with pytest.raises(StageError, match=f"`revision: {FIRST}` takes that one"):
        dpo.run(*parse("dpo", parent=parent, model=NAME, output=tmp_path / "moved"))


def test_a_stage_is_sampled_and_exported_on_the_commit_that_it_was_trained_on(hub, parse, tmp_path):
    stage = sft.run(*parse("sft", model=NAME, max_steps=1))
    wanted = subject_of(stage=stage).load().model.state_dict()
    hub(SECOND)
    subject = subject_of(stage=stage)
    assert subject.identity()["model"] == FIRST
    found = subject.load().model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert broken(read_chain(stage)) == []
    folder = export_stage(stage, tmp_path / "out", ExportOptions(merge=True))
    merged = load_model(str(folder), dtype=torch.float32).state_dict()
    assert all(torch.equal(merged[name], tensor) for name, tensor in wanted.items())
    card = export_stage(stage, tmp_path / "adapter", ExportOptions()) / "README.md"
    assert f'from_pretrained(BASE, dtype=torch.float32, revision="{FIRST}")' in card.read_text()


def test_a_base_is_named_with_its_revision(hub):
    hub(SECOND)
    assert subject_of(f"{NAME}@{FIRST}").identity()["model"] == FIRST
    assert subject_of(NAME).identity()["model"] == SECOND
    assert torch.equal(
        1.5 * embedding(subject_of(f"{NAME}@{FIRST}").load().model), embedding(subject_of(NAME).load().model)
    )


@pytest.mark.usefixtures("hub")
def test_a_curriculum_hands_its_revision_on(tmp_path):
    for split in ("validation", "test"):  # missing files are reported first
        (tmp_path / f"{split}.jsonl").touch()
    recipe = REPOSITORY / "stages" / "recipes" / "pocket" / "curriculum.yaml"
    flags = ["--model", NAME, "--revision", FIRST, "--output", str(tmp_path / "run"), "--data", str(tmp_path)]
    curriculum = open_curriculum(recipe, flags)
    assert [curriculum.parse(stage, 0)[0].revision for stage in ("sft", "dpo", "grpo")] == [FIRST] * 3
    assert subject_of(curriculum.base).identity()["model"] == FIRST


def test_a_folder_has_no_revision(parse):
    with pytest.raises(StageError, match=r"revision: is of a model on the hub, and .* is a folder"):
        parse("sft", revision=FIRST)


@pytest.mark.usefixtures("hub")
def test_preflight_reads_the_revision_too(parse):
    arguments, config = parse("sft", model=NAME, revision="3" * 40)
    with pytest.raises(StageError, match=NAME):
        prepare("sft", arguments, config, None)
