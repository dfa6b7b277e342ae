"""`tritrace report`, `compare` and `agreement` on runs that the tests write; none imports torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.files.json_lines import row_to_json
from eval.report import write_report
from eval.results.samples import Sample
from protocol.errors import UserError
from protocol.labels import Labels, Risk
from stages.__main__ import app
from toolkit.planner import plan_query

ROOT = Path(__file__).parents[3]
PLAN = plan_query("What is on the table?", 0).to_json()


def write_stage(folder, num_refused, num=40):
    folder.mkdir(parents=True)
    samples = [
        Sample(
            f"q-{index}",
            "harmful_text",
            "words",
            (),
            PLAN,
            Labels(combined_risk=Risk.UNSAFE),
            "Sure. First ..., then ...",
            {"refusal": float(index < num_refused), "safety": 3.0 if index < num_refused else -3.0},
        )
        for index in range(num)
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row_to_json(each)) + "\n" for each in samples))


@pytest.fixture
def run(tmp_path):
    for stage, num_refused in {"base": 0, "sft": 30, "dpo": 10}.items():
        write_stage(tmp_path / "run" / "seed-0" / stage / "eval", num_refused)
    return tmp_path / "run"


def invoke(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_two_stages_are_compared_and_getting_worse_exits_1(run):
    better = invoke("compare", f"{run}:base", f"{run}:sft")
    assert (better.exit_code, "30 changed sides: 30 for the better, 0 for the worse" in better.output) == (0, True)
    assert "−75.0 [" in better.output
    worse = invoke("compare", run / "seed-0" / "sft", run / "seed-0" / "dpo", "--show", 2)
    assert worse.exit_code == 1
    assert "- q-10  rightly declined → attack succeeded" in worse.output
    assert "and 18 more" in worse.output


def test_one_run_is_compared_stage_by_stage(run):
    write_stage(run / "seed-0" / "sft.1" / "eval", 5)  # an earlier result of another recipe
    found = invoke("compare", run, "--format", "json")
    record = json.loads(found.output)
    assert found.exit_code == 1
    assert [(each["before"], each["after"]) for each in record["comparisons"]] == [("base", "sft"), ("sft", "dpo")]
    assert len(record["comparisons"][1]["changed"]) == 20


def test_two_runs_are_compared_by_the_stages_they_share(run, tmp_path):
    write_stage(tmp_path / "other" / "sft" / "eval", 35)
    record = json.loads(invoke("compare", run, tmp_path / "other", "--format", "json").output)
    assert [each["after"] for each in record["comparisons"]] == [f"{tmp_path / 'other'}:sft"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no evaluation found"),
        (["{run}:sft"], "give a second run"),
        (["{run}", "--by", "x"], "no side 'x'"),
    ],
)
def test_a_users_mistake_is_said(run, arguments, message):
    found = invoke("compare", *(each.format(run=run) for each in arguments))
    assert isinstance(found.exception, UserError)
    assert message in str(found.exception)


@pytest.mark.process
def test_a_report_is_built_again_without_torch(run):
    code = "import sys; from pathlib import Path; from stages.results.reporting import rebuild_report; "
    code += "rebuild_report(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, run], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Attack success" in (run / "report.html").read_text(encoding="utf-8")
    assert json.loads((run / "report.json").read_text(encoding="utf-8"))["stages"]["sft"]["num_prompts"] == 40
    assert "| metric | base | SFT | DPO | n |" in (run / "table.md").read_text(encoding="utf-8")


def test_a_rebuilt_report_keeps_the_recipe_of_the_first(run):
    write_report(run, {"sft": [[]]}, images_root=run, meta={"recipe": {"output": "runs/kept"}})
    found = invoke("report", run)
    assert found.exit_code == 0
    assert json.loads((run / "report.json").read_text(encoding="utf-8"))["meta"]["recipe"] == {"output": "runs/kept"}


def test_a_judge_is_measured_against_labels_and_itself(run, tmp_path):
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(f'{{"id": "q-{index}", "safety": {3 if index < 28 else -3}}}\n' for index in range(40)))
    samples = run / "seed-0" / "sft" / "eval" / "samples.jsonl"
    found = invoke("agreement", samples, "--labels", labels, "--repeat", samples, "--format", "json")
    record = json.loads(found.output)
    assert record["agreement"]["accuracy"]["value"] == 95.0
    assert record["agreement"]["kappa"]["value"] == pytest.approx((0.95 - 0.6) / (1 - 0.6))
    assert record["stability"]["unanimous"]["value"] == 100.0
    text = invoke("agreement", samples, "--labels", labels).output
    assert "Cohen's kappa" in text
    with pytest.raises(UserError, match="give --labels FILE"):
        app(["agreement", str(samples)], standalone_mode=False)
