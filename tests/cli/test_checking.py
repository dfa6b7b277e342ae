"""Commands that need no model: their output, their streams and their exit codes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from lark import Lark

from data.building.build import Sizes, sft_rows
from data.files.json_lines import write_rows
from protocol import Plan, codes
from stages.cli.rows.build import PRESETS
from tests.cli.examples import BAD, GOOD, PLAN, QUERY, record
from toolkit.planner import named_plan, plan_query

ROOT = Path(__file__).parents[2]


def test_all_valid_exits_0_and_says_how_many(tritrace, file):
    code, out, err = tritrace("validate", file("a.jsonl", [record(), record(plan=PLAN.to_json())]))
    assert (code, out) == (0, "")
    assert err == "2 responses: 2 valid (100.0 %), 0 invalid\n"


def test_some_invalid_exits_1_and_shows_where(tritrace, file):
    path = file("a.jsonl", [record(), record(BAD)])
    code, out, err = tritrace("validate", path)
    assert code == 1
    assert out.startswith(f"{path}:2: invalid\n")
    assert "T201 VISUAL-SCNA is not a tool of this plan" in out
    assert "hint: did you mean VISUAL-SCAN?" in out
    assert "1 invalid; T201 in 1" in err


def test_json_is_one_object_a_response_and_the_summary_elsewhere(tritrace, file):
    path = file("a.jsonl", [record(), record(BAD)])
    code, out, err = tritrace("validate", path, "--format", "json")
    first, second = map(json.loads, out.splitlines())
    assert code == 1
    assert first == {"source": str(path), "line": 1, "valid": True, "calls": first["calls"], "diagnostics": []}
    assert second["diagnostics"][0]["code"] == "T201"
    assert "2 responses" in err


def test_labels_bring_evidence_rules_and_leave_the_response_valid(tritrace, file):
    labels = QUERY.labels.to_json() | {"objects": [], "texts": None}
    code, out, _ = tritrace("validate", file("a.jsonl", [record(labels=labels)]))
    assert code == 0
    assert "valid, but" in out
    assert "E501" in out


UNREADABLE = {
    "{": "not JSON",
    "[" * 100_000: "not JSON",
    "[]": 'expected an object with the text field "response"',
    '{"response": 3}': 'expected an object with the text field "response"',
    json.dumps(record(plan="evryday")): "did you mean everyday?",
    json.dumps(record(plan="{")): "plan: not JSON",
    json.dumps(record(plan=[])): "plan: expected an object",
    json.dumps(record(plan={})): "'persona' is missing",
    json.dumps(record(labels={"image_risk": "low"})): "labels.image_risk",
    json.dumps(record(labels=3)): "labels: expected an object",
}


def test_unreadable_records_are_named_and_the_rest_is_still_checked(tritrace, file):
    path = file("a.jsonl", "\n".join([json.dumps(record(BAD)), *UNREADABLE, json.dumps(record())]))
    code, out, err = tritrace("validate", path)
    assert code == 2
    assert "T201" in out
    for number, (line, reason) in enumerate(zip(err.splitlines(), UNREADABLE.values(), strict=False), start=2):
        assert line.startswith(f"{path}:{number}: ")
        assert reason in line
    assert f"1 valid (50.0 %), 1 invalid, {len(UNREADABLE)} unreadable" in err


def test_text_json_and_standard_input_are_read(tritrace, file):
    plan = file("plan.json", PLAN.to_json())
    assert tritrace("validate", file("a.txt", GOOD), "--plan", plan)[0] == 0
    assert tritrace("validate", file("a.txt", BAD), "--plan", plan)[0] == 1
    assert tritrace("validate", file("one.json", json.dumps(record())))[0] == 0
    assert tritrace("validate", file("all.json", json.dumps([record(), record(BAD)])))[0] == 1
    assert tritrace("validate", "-", "--plan", plan, stdin=GOOD)[0] == 0
    assert tritrace("validate", "-", "--plan", plan, stdin="Sure.")[0] == 1
    assert tritrace("validate", "-", stdin=f"{json.dumps(record())}\n{json.dumps(record(BAD))}\n")[0] == 1
    assert tritrace("validate", file("a.txt", GOOD), file("b.txt", BAD), "--plan", plan)[0] == 1


def test_a_file_that_is_not_there_exits_2(tritrace, file, tmp_path):
    code, _, err = tritrace("validate", tmp_path / "gone.jsonl", tmp_path / "gone.txt", tmp_path, file("a.json", "{"))
    assert code == 2
    assert "4 unreadable" in err
    assert "No such file" in err


UNKNOWN_TOOL = json.loads(PLAN.to_json())
UNKNOWN_TOOL["graph"]["edges"].append(["VISUAL-SCAN", "VISUAL-SKAN"])
MISTAKES = {
    "misspelt plan": (["--plan", "evryday"], "did you mean everyday?"),
    "no such file": (["--plan", "plan.json"], "and no such file"),
    "unknown option": (["--plam", "any"], "No such option"),
    "unknown format": (["--format", "xml"], "xml"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_wrong_usage_is_one_error_and_exits_2(tritrace, file, name):
    flags, reason = MISTAKES[name]
    code, out, err = tritrace("validate", file("a.txt", GOOD), *flags)
    assert (code, out) == (2, "")
    assert reason in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected a JSON object, found list"),
        ("{}", "'persona' is missing"),
        (json.dumps(UNKNOWN_TOOL), "VISUAL-SKAN is not a tool of the plan"),
    ],
)
def test_a_broken_plan_file_is_one_error_that_names_the_file(tritrace, file, content, reason):
    path = file("plan.json", content)
    code, out, err = tritrace("validate", file("a.txt", GOOD), "--plan", path)
    assert (code, out) == (2, "")
    assert err.startswith(f"tritrace: error: {path}: ")
    assert reason in err
    assert err.count("\n") == 1


def test_terminals_are_not_obeyed_and_broken_text_is_survived(tritrace, file):
    path = file("a.jsonl", [record("\x1b]0;title\x07\ud800"), record(GOOD.replace(PLAN.graph.start[0], "\ud800\x1b"))])
    code, out, _ = tritrace("validate", path)
    assert code == 1
    assert "\x1b" not in out
    code, out, _ = tritrace("validate", path, "--format", "json")
    assert [json.loads(line)["valid"] for line in out.splitlines()] == [False, False]


@pytest.mark.parametrize("code", codes())
def test_every_code_is_explained(tritrace, code):
    exit_code, out, err = tritrace("explain", code.lower())
    assert (exit_code, err) == (0, "")
    assert out.startswith(f"{code} {codes()[code].name}")


def test_a_misspelt_code_is_one_error_with_a_hint(tritrace):
    code, out, err = tritrace("explain", "G32")
    assert (code, out) == (2, "")
    assert "did you mean G302?" in err
    assert tritrace("explain", "nonsense")[0] == 2


def test_a_plan_is_shown_in_every_form(tritrace):
    views = ("prompt", "compact", "json", "grammar", "schema")
    outputs = {view: tritrace("plan", QUERY.text, "--as", view) for view in views}
    assert {code for code, _, _ in outputs.values()} == {0}
    assert "reason: " in outputs["prompt"][2]
    assert "Write exactly this form" in outputs["prompt"][1]
    assert len(outputs["compact"][1]) < len(outputs["prompt"][1])
    plan = Plan.from_json(outputs["json"][1])
    assert plan.fingerprint == plan_query(QUERY.text, 0).fingerprint
    assert Lark(outputs["grammar"][1], parser="lalr", lexer="contextual")
    Draft202012Validator.check_schema(json.loads(outputs["schema"][1]))
    assert tritrace("plan", QUERY.text, "--as", "poem")[0] == 2


def test_a_plan_sees_the_picture_or_says_why_not(tritrace, file, tmp_path):
    code, _, err = tritrace("plan", "What is this?", "--image", file("a.png", "no picture"))
    assert code == 2
    assert "not an image" in err
    code, _, err = tritrace("plan", "What is this?", "--image", tmp_path / "gone.png")
    assert code == 2
    assert "gone.png" in err


def test_data_is_built_once_and_checked(tritrace, tmp_path):
    sizes = ["--sft", 3, "--dpo", 3, "--grpo", 3, "--validation", 2, "--test", 2]
    assert "written" in tritrace("data", "build", tmp_path, *sizes)[1]
    assert "already there" in tritrace("data", "build", tmp_path, *sizes)[1]
    code, out, err = tritrace("data", "check", tmp_path, "--html", tmp_path / "page.html")
    assert (code, out) == (0, "")
    assert "29 rows in 6 files, 0 to be looked at: nothing is wrong" in err
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert tritrace("data", "check", tmp_path / "gone")[0] == 2
    assert tritrace("data", "build", tmp_path / "more", "--sft", "many")[0] == 2


def test_presets_are_the_sizes_of_a_run_and_of_the_published_data(tritrace, tmp_path):
    assert PRESETS["pocket"].sizes == Sizes()
    published = PRESETS["published"].sizes
    assert (published.sft, published.dpo * published.pairs_per_query) == (6000, 18_600)
    assert (published.grpo, published.test) == (6000, 1000)
    assert tritrace("data", "build", tmp_path, "--preset", "other")[0] == 2


def test_a_row_with_a_bad_response_or_plan_is_told_with_its_place_and_left_out_of_a_copy(tritrace, tmp_path):
    row = replace(next(sft_rows([QUERY], "compact")), images=())
    path = tmp_path / "rows" / "sft.jsonl"
    write_rows(path, [row, replace(row, id="bad", completion=({"role": "assistant", "content": "Sure."},))])
    code, out, err = tritrace("data", "check", path, "--fix", tmp_path / "clean")
    assert code == 1
    assert f"{path}:2: response: completion 1:1: S101" in out
    assert "1 rows kept, 1 dropped" in err
    assert tritrace("data", "check", tmp_path / "clean")[0] == 0
    assert tritrace("data", "check", path, "--fix", tmp_path / "rows")[0] == 2
    path.write_text("{")
    code, out, err = tritrace("data", "check", path)
    assert code == 2
    assert f"{path}:1: unreadable: not JSON" in out


def test_what_is_in_rows_is_counted(tritrace, tmp_path):
    row = replace(next(sft_rows([QUERY], "compact")), images=())
    write_rows(tmp_path / "sft.jsonl", [row])
    code, out, _ = tritrace("data", "stats", tmp_path)
    assert code == 0
    assert row.kind in out
    assert "Topology of the plan" in out
    counted = json.loads(tritrace("data", "stats", tmp_path, "--format", "json")[1])
    assert counted["rows"] == [{"file": str(tmp_path / "sft.jsonl"), "kind": "sft", "split": row.split, "rows": 1}]


def test_corruptions_are_listed_with_their_codes(tritrace):
    code, out, _ = tritrace("data", "corruptions")
    assert code == 0
    assert len(out.splitlines()) >= 44
    assert "unsafe_compliance" in out


BLOCKED = """
import sys
for name in ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "mlflow", "bitsandbytes"):
    sys.modules[name] = None
from importlib import import_module
from pathlib import Path
for package in ("protocol", "toolkit", "data"):
    for path in Path(package).rglob("*.py"):
        import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
from stages.__main__ import main
sys.argv = ["tritrace", *sys.argv[1:]]
main()
"""


@pytest.mark.process
def test_the_language_works_without_the_training_stack(file):
    path = file("a.jsonl", [record(), record(BAD)])
    command = [sys.executable, "-c", BLOCKED, "validate", path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "T201" in done.stdout


def test_every_named_plan_is_an_option(tritrace, file):
    for name in ("any", "alarm", "vulnerable", "writing", "several", "everyday"):
        assert named_plan(name)
        assert tritrace("validate", file("a.txt", "Sure."), "--plan", name)[0] == 1
