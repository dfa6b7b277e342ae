"""An exported stage gives the same answers as the trained one, in programs without this project."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from data.files.json_lines import read_rows
from data.pictures.images import open_image
from data.rows import RolloutPrompt
from eval.models.loading import load_model
from eval.policies.checkpoint import HFPolicy
from protocol.errors import UserError
from stages import dpo, sft
from stages.__main__ import app
from stages.arguments.stage import parse_stage
from stages.errors import StageError
from stages.export import run as export_run
from stages.export.run import ExportOptions, export_stage
from stages.provenance.chain import broken, read_chain
from stages.provenance.manifest import read_manifest
from stages.results.subjects import load_policy
from stages.tracking import store
from tests.data.pictures.test_pixels import palette, words
from tests.stages.conftest import PLAN, PROMPT, QUESTION, short_flags, write_tiny_model, write_tiny_rows

NUM_TOKENS = 24
END = "\f"
ALONE = """
import json, sys
for code in json.load(sys.stdin):
    exec(compile(code, "card", "exec"), {"__name__": "__main__"})
    print(end="\f")
ours = {"protocol", "toolkit", "data", "eval", "stages"} & set(sys.modules)
assert not ours, ours
"""


def train(folder, model):
    """Write rows, train SFT and DPO on them, and return the folder of DPO."""
    data, root = write_tiny_rows(folder / "data"), folder / "run" / "seed-0"
    shared = {"model": model, "max_steps": 2, "preflight": "false"}
    first = short_flags("sft", data=data / "sft.jsonl", output=root / "sft", **shared)
    second = short_flags("dpo", data=data / "dpo.jsonl", output=root / "dpo", parent=root / "sft", **shared)
    sft.run(*parse_stage("sft", first))
    return dpo.run(*parse_stage("dpo", second))


@pytest.fixture(scope="module")
def shared(once, tiny_model_path):
    """Return a folder with rows and a run, which no test changes."""

    def make(path):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "LOCAL_ROOT", path)
            train(path, tiny_model_path)

    return once("trained-for-export", make)


@pytest.fixture
def trained(shared):
    return shared / "run" / "seed-0" / "dpo"


@pytest.fixture
def rows_folder(shared):
    return shared / "data"


@pytest.fixture
def own(tmp_path, tiny_model_path):
    """Return a trained stage that the test may change."""
    return train(tmp_path, tiny_model_path)


def code_of(folder):
    return re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]


def answers_of_the_cards(folders, picture):
    """Run the code of cards in turn in a separate process, with only their paths and their question changed."""
    codes = []
    for folder in folders:
        code = code_of(folder).replace(f'Path("{folder.name}")', f'Path("{folder}")')
        code = code.replace("picture.png", str(picture)).replace("max_new_tokens=512", f"max_new_tokens={NUM_TOKENS}")
        assert QUESTION in code
        codes.append(code)
    command, told = [sys.executable, "-c", ALONE], json.dumps(codes)
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(END)[:-1]


def our_answer(stage, rows_folder):
    prompt = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[3]
    (generation,) = load_policy(stage=stage, max_new_tokens=NUM_TOKENS).respond([prompt], rows_folder)
    return generation.text + "\n"


def test_the_code_of_the_card_is_shown_pictures_as_the_stage_is(trained, tmp_path):
    folder = export_stage(trained, tmp_path / "out", ExportOptions())
    code = code_of(folder)
    names = {}
    exec("from PIL import Image, ImageOps\n" + code[code.index("def shown") : code.index("processor =")], names)  # noqa: S102
    exif = Image.Exif()
    exif[0x0112] = 6
    words("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)).save(tmp_path / "words.png", exif=exif)
    palette().save(tmp_path / "palette.png", transparency=0)
    for name in ("words.png", "palette.png"):
        assert names["shown"](tmp_path / name).tobytes() == open_image(name, tmp_path).tobytes()


MERGED = {"adapter": False, "merged": True}


@pytest.mark.slow
def test_the_code_of_the_card_answers_as_the_stage_does(trained, rows_folder, tmp_path):
    folders = [export_stage(trained, tmp_path / name, ExportOptions(merge=merge)) for name, merge in MERGED.items()]
    expected = our_answer(trained, rows_folder)
    assert len(expected) > 5
    assert answers_of_the_cards(folders, rows_folder / "images" / "3.png") == [expected] * 2


@pytest.mark.slow
def test_what_a_base_adds_to_sampling_is_switched_off_and_said(parse, rows_folder, tmp_path):
    """As in Qwen2.5-VL: a temperature without sampling, which transformers refuses to save."""
    model = write_tiny_model(tmp_path / "model")
    declared = json.loads((model / "generation_config.json").read_text())
    added = {"temperature": 1e-6, "top_k": 1, "repetition_penalty": 30.0, "no_repeat_ngram_size": 1, "do_sample": False}
    (model / "generation_config.json").write_text(json.dumps(declared | added))
    trained = sft.run(*parse("sft", model=model, max_steps=1))
    loaded = load_model(str(model), dtype=torch.float32)
    settings = loaded.generation_config
    assert (settings.repetition_penalty, settings.no_repeat_ngram_size, settings.top_k) == (None, None, None)
    folders = [export_stage(trained, tmp_path / name, ExportOptions(merge=merge)) for name, merge in MERGED.items()]
    for folder in folders:
        written = json.loads((folder / "generation_config.json").read_text())
        assert not set(added) - {"do_sample"} & set(written)
        assert loaded.generation_config.eos_token_id in written["eos_token_id"]
        card = (folder / "README.md").read_text()
        assert "temperature 1e-06, top_k 1, repetition_penalty 30.0, no_repeat_ngram_size 1" in card.replace("\n", " ")
    answer = our_answer(trained, rows_folder)
    assert answers_of_the_cards(folders, rows_folder / "images" / "3.png") == [answer] * 2


def test_an_export_holds_the_plans_with_grammars_and_the_manifests(trained, tmp_path):
    from llguidance import LLMatcher, LLTokenizer

    folder = export_stage(trained, tmp_path / "out", ExportOptions())
    (index,) = json.loads((folder / "plans" / "index.json").read_text())
    assert (index["fingerprint"], index["num_rows"]) == (PLAN.fingerprint, 12)
    plan = folder / index["folder"]
    assert (plan / "system_prompt.txt").read_text() == PROMPT[0]["content"]
    grammar = LLMatcher.grammar_from_lark((plan / "grammar.lark").read_text())
    assert LLMatcher.validate_grammar(grammar, LLTokenizer("byte")) == ""
    assert [path.name for path in sorted((folder / "manifests").iterdir())] == ["1-sft.json", "2-dpo.json"]
    assert read_manifest(folder / "manifests" / "2-dpo.json").digest == read_manifest(trained / "manifest.json").digest
    assert not list(tmp_path.glob(".out*"))


def test_the_card_names_base_data_recipe_results_and_limits(own, rows_folder, tmp_path, tiny_model_path):
    from eval.evaluation import score_samples, write_evaluation
    from eval.judges import RuleJudge

    prompts = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)
    generations = load_policy(stage=own, max_new_tokens=4).respond(prompts, rows_folder)
    samples = list(score_samples(prompts, generations, rows_folder, RuleJudge()))
    adapter = read_manifest(own / "manifest.json").adapter
    write_evaluation(own / "eval", samples, {"adapter": adapter})
    card = (export_stage(own, tmp_path / "out", ExportOptions(licence="mit")) / "README.md").read_text()
    _, header, body = card.split("---\n", 2)
    facts = yaml.safe_load(header)
    assert (facts["license"], facts["library_name"], facts["base_model"]) == ("mit", "peft", str(tiny_model_path))
    assert "| Trace validity % ↑ | 0.0 [0.0, 24.2] | 12 × 1 |" in body
    assert "| test | Apache-2.0 | – | 24 |" in body
    assert "* SFT: learning_rate 0.01, " in body
    assert "Judged by the rules of this project" in body
    assert "## Limits" in body
    write_evaluation(own / "eval", samples, {"adapter": "0" * 64})
    card = (export_stage(own, tmp_path / "later", ExportOptions()) / "README.md").read_text()
    assert "The evaluation of DPO is of another adapter and is left out." in card
    assert "It has not been evaluated." in card


def test_a_merged_folder_is_a_base_for_another_stage(trained, parse, tmp_path):
    folder = export_stage(trained, tmp_path / "out", ExportOptions(merge=True))
    output = sft.run(*parse("sft", model=folder, max_steps=1, output=tmp_path / "again", preflight="false"))
    manifest = read_manifest(output / "manifest.json")
    assert (manifest.start, manifest.merged) == ("merged", read_manifest(trained / "manifest.json").digest)
    assert broken(read_chain(output)) == []
    with pytest.raises(StageError, match="no finished stage here"):
        read_chain(folder)


def test_a_base_in_four_bits_is_dequantised_before_merging(parse, tmp_path, rows_folder, tiny_model_path):
    options = {"load_in_4bit": "true", "max_steps": 2, "preflight": "false"}
    stage = sft.run(*parse("sft", **options))
    folder = export_stage(stage, tmp_path / "out", ExportOptions(merge=True))
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert "Its weights here are those, dequantised" in (folder / "README.md").read_text()
    prompt = read_rows(rows_folder / "grpo.jsonl", RolloutPrompt)[3]
    trained = HFPolicy(tiny_model_path, stage / "adapter", load_in_4bit=True)
    merged = HFPolicy(folder)
    inputs = trained._encode([prompt], rows_folder)
    with torch.no_grad():
        wanted, found = trained.model(**inputs).logits, merged.model(**inputs).logits
        plain = HFPolicy(tiny_model_path, stage / "adapter").model(**inputs).logits
    # The adapter of a quantised base computes in bfloat16; with the original weights the result would differ a lot.
    assert (wanted - found).abs().max() < 0.1 * (wanted - plain).abs().max()


def test_a_merged_model_has_the_dtype_asked_for(trained, tmp_path):
    folder = export_stage(trained, tmp_path / "out", ExportOptions(merge=True, dtype="bfloat16"))
    tensors = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_nothing_is_written_into_a_folder_that_holds_something(trained, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep me")
    for overwrite in (False, True):
        with pytest.raises(StageError, match=r"is not empty and not an earlier export \(mine\.txt\)"):
            export_stage(trained, folder, ExportOptions(overwrite=overwrite))
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    (folder / "mine.txt").unlink()
    export_stage(trained, folder, ExportOptions())
    with pytest.raises(StageError, match="give --overwrite to replace it"):
        export_stage(trained, folder, ExportOptions())
    (folder / "stale.txt").write_text("of the earlier export")
    export_stage(trained, folder, ExportOptions(overwrite=True))
    assert not (folder / "stale.txt").exists()


def test_an_export_that_fails_leaves_what_was_there(trained, tmp_path, monkeypatch):
    folder = export_stage(trained, tmp_path / "out", ExportOptions())
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_run, "write_plans", fail)
    with pytest.raises((OSError, UserError)):
        export_stage(trained, folder, ExportOptions(overwrite=True))
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert not list(tmp_path.glob(".out*"))


def test_a_stage_that_is_not_what_its_manifest_says_is_not_exported(own, tmp_path):
    weights = next((own / "adapter").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(StageError, match=r"adapter: .* named .* found"):
        export_stage(own, tmp_path / "out", ExportOptions())
    assert not (tmp_path / "out").exists()


def test_the_command_exports_and_names_what_it_needs(own, tmp_path):
    shutil.rmtree(tmp_path / "data")  # the rows are deleted: the planner's plans are used, and the card says so
    done = CliRunner().invoke(app, ["export", str(own), "--to", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert len(json.loads((tmp_path / "out" / "plans" / "index.json").read_text())) == 5
    assert "The rows of SFT, DPO are no longer here" in (tmp_path / "out" / "README.md").read_text()
    done = CliRunner().invoke(app, ["export", str(Path("nowhere")), "--to", str(tmp_path / "other")])
    assert isinstance(done.exception, StageError)
    assert "no finished stage here; name the folder of one" in str(done.exception)
