"""Running other harnesses: their command lines, their failures, and their numbers in the report."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from data.files.json_lines import row_to_json
from eval.results.samples import Sample
from protocol import Labels
from stages.errors import StageError
from stages.results.harness import HarnessJob, lm_eval_job, run_job, vlmeval_job
from stages.results.reporting import harness_scores, rebuild_report
from toolkit.planner import named_plan

RESULT = next((Path(__file__).parents[2] / "eval" / "harness_results" / "lm-eval").glob("*.json"))


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def stand_in(tmp_path, body):
    """Return a job whose harness is a script."""
    script = tmp_path / "harness.py"
    script.write_text(body)
    return HarnessJob((sys.executable, str(script)), tmp_path / "out", "weights")


def test_lm_eval_is_asked_about_a_merged_model(model, tmp_path):
    job = lm_eval_job(model, ["arc_easy", "hellaswag"], tmp_path / "grpo", python="py", more=["--limit", "9"])
    folder = tmp_path / "grpo" / "harness" / "lm-eval"
    assert job.command == (
        *("py", "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={model}"),
        *("--tasks", "arc_easy,hellaswag", "--output_path", str(folder)),
        *("--use_cache", str(folder / "cache" / "answers"), "--limit", "9"),
    )


def test_vlmevalkit_gets_its_configuration(model, tmp_path):
    home = tmp_path / "VLMEvalKit"
    home.mkdir()
    (home / "run.py").write_text("")
    job = vlmeval_job(model, ["MMBench_DEV_EN=ImageMCQDataset"], tmp_path / "grpo", python="py", home=home)
    assert json.loads((job.folder / "config.json").read_text()) == {
        "model": {"exported": {"class": "Qwen2VLChat", "model_path": str(model)}},
        "data": {"MMBench_DEV_EN": {"class": "ImageMCQDataset", "dataset": "MMBench_DEV_EN"}},
    }
    assert job.command[:3] == ("py", "run.py", "--config")
    assert job.working_directory == home


def test_what_cannot_be_run_is_said_before_anything_starts(model, tmp_path):
    with pytest.raises(StageError, match="neither a model's folder"):
        lm_eval_job(tmp_path, ["arc_easy"], tmp_path, python="py")
    with pytest.raises(StageError, match="give at least one"):
        lm_eval_job(model, [], tmp_path, python="py")
    with pytest.raises(StageError) as raised:
        vlmeval_job(model, ["MMBench"], tmp_path, python="py", home=tmp_path)
    assert len(raised.value.problems) == 2


def test_results_are_read_and_the_same_command_is_not_run_again(tmp_path):
    count = tmp_path / "count"
    job = stand_in(
        tmp_path,
        f"import shutil\nshutil.copy({str(RESULT)!r}, {str(tmp_path / 'out')!r})\nopen({str(count)!r}, 'a').write('x')",
    )
    assert [[score.value for score in run_job(job)] for _ in range(2)] == [[0.5], [0.5]]
    assert count.read_text() == "x"
    run_job(HarnessJob(job.command, job.folder, "other weights"))
    assert count.read_text() == "xx"


@pytest.mark.parametrize(
    ("body", "message"),
    [("raise SystemExit(3)", "exit code 3"), ("pass", "wrote no result")],
)
def test_a_harness_that_fails_is_an_error(tmp_path, body, message):
    with pytest.raises(StageError, match=message):
        run_job(stand_in(tmp_path, body))


def test_a_harness_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(StageError, match="cannot be started"):
        run_job(HarnessJob((str(tmp_path / "no-python"),), tmp_path, "weights"))


def test_the_report_of_a_run_shows_what_the_harness_found(tmp_path, capsys):
    sample = Sample("q", "plain", "Hello?", (), named_plan("everyday").to_json(), Labels(), "Hello.")
    for seed in (0, 1):
        folder = tmp_path / f"seed-{seed}" / "sft"
        (folder / "eval").mkdir(parents=True)
        (folder / "eval" / "samples.jsonl").write_text(json.dumps(row_to_json(sample)) + "\n")
        results = folder / "harness" / "lm-eval" / "m"
        results.mkdir(parents=True)
        (results / RESULT.name).write_text(RESULT.read_text().replace('"acc,none": 0.5', f'"acc,none": 0.{5 + seed}'))
    assert {stage: len(seeds) for stage, seeds in harness_scores(tmp_path).items()} == {"sft": 2}
    page = rebuild_report(tmp_path).read_text(encoding="utf-8")
    capsys.readouterr()
    assert "lm-eval: local_yes_no (version 1), acc ↑" in page
    assert "<b>0.55</b> <small>[0.1796, 0.9204] n 8 × 2 seeds</small>" in page
    assert "| lm-eval: local_yes_no (version 1), acc ↑ | 0.55 [0.1796, 0.9204]" in (tmp_path / "table.md").read_text()
    record = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert record["benchmarks"][0]["by_stage"]["sft"]["num_seeds"] == 2


@pytest.fixture
def tiny_text_model_path(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    from stages.pocket.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["Is 1 even? yes no"])
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm_eval is not installed; it is no dependency")
def test_lm_eval_itself_on_a_tiny_model(tiny_text_model_path, tmp_path):
    questions = [{"question": f"Is {number} even?", "label": number % 2} for number in range(4)]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    task = {
        "task": "yes_no",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "questions.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": ["yes", "no"],
        "doc_to_target": "{{label}}",
        "metric_list": [{"metric": "acc"}],
    }
    (tmp_path / "yes_no.yaml").write_text(json.dumps(task))
    more = ["--include_path", str(tmp_path), "--device", "cpu"]
    job = lm_eval_job(tiny_text_model_path, ["yes_no"], tmp_path / "sft", python=sys.executable, more=more)
    (found,) = run_job(job)
    assert (found.benchmark, found.metric, found.n) == ("yes_no", "acc", 4)
    assert found.value in {0, 0.25, 0.5, 0.75, 1}
