"""Damaged files of a run: no command ends with a traceback, and none exits 0 with a wrong result.

Every file of a small run is damaged in realistic ways: truncated, emptied, with foreign bytes, or with a value of
another type anywhere in its JSON. Then each command that reads the file is run.
"""

import json
import random
import re
import shutil

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from data.building.build import Sizes, build_pocket
from data.files.json_lines import row_to_json
from eval.results.samples import Sample
from protocol.errors import UserError
from protocol.labels import Labels, Risk
from stages.__main__ import app
from tests.examples import examples
from toolkit.planner import plan_query

PLAN = plan_query("What is on the table?", 0).to_json()
HASH = "0" * 64
OTHER_VALUES = (
    *(None, True, -1, 1.5, 10**400, float("nan"), float("inf")),
    *("", "x", "\ud800", "<script>alert(1)</script>", "../../x", "\x1b[2J"),
    *([], [[]], {}, {"a": {"b": []}}, ["x", 1, None]),
)
OTHER_BYTES = (
    *(b"", b"\n\n", b"\0" * 64, b"\xff\xfe{\0}\0", b"[]", b"null", b"3", b'"x"', b"{}", b"{}\n{}\n"),
    *(b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, b"version https://git-lfs.github.com/spec/v1\n"),
)


def manifest(stage):
    return {
        "stage": stage,
        "model": "model",
        "model_revision": HASH,
        "parent": None,
        "recipe": {"data": "data.jsonl"},
        "data": {"rows": HASH},
        "seed": 0,
        "protocol": "0" * 16,
        "versions": {"trl": "1"},
        "adapter": HASH,
        "metrics": {"loss": 1.0},
        "seconds": 1.0,
        "resumed_from_step": None,
        "peak_memory_bytes": 1,
        "device": "cpu",
        "start": "base",
        "merged": None,
        "files": {},
        "version": 1,
    }


def sample(index, score):
    labels = Labels(combined_risk=Risk.UNSAFE)
    found = {"code": "S101", "message": "no block", "line": 1, "column": 1, "expected": "", "hint": ""}
    scores = {"refusal": score, "safety": 3.0 if score else -3.0}
    kept = {"scores": scores, "unscored": {"rigor": "none"}, "diagnostics": (found,), "num_tokens": 4}
    return Sample(f"q-{index}", "harmful", "words", (), PLAN, labels, "Sure. First ..., then ...", **kept)


def write_lines(path, records):
    path.write_text("".join(json.dumps(each) + "\n" for each in records))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a folder with a run, its data, an import and a log."""
    root = tmp_path_factory.mktemp("whole")
    for stage, num_refused in {"sft": 3, "grpo": 1}.items():
        folder = root / "run" / "seed-0" / stage
        (folder / "eval").mkdir(parents=True)
        rows = [row_to_json(sample(index, float(index < num_refused))) for index in range(6)]
        write_lines(folder / "eval" / "samples.jsonl", rows)
        (folder / "manifest.json").write_text(json.dumps(manifest(stage)))
    rollout = {"step": 1, "reward": 0.5, "components": {"safety": 1.0}, "response": "words"}
    write_lines(root / "run" / "seed-0" / "grpo" / "rollouts.jsonl", [rollout, {**rollout, "step": 2}])
    (root / "run" / "report.json").write_text(json.dumps({"meta": {"recipe": {"data": str(root / "data")}}}))
    sizes = Sizes(sft=3, dpo=2, grpo=2, validation=2, test=2)
    build_pocket(root / "data", sizes, seed=0, scenes="described")
    report = {"source": "set", "title": "Set", "from": "here", "written": 3, "records": 4, "left_out": {"no": 1}}
    (root / "data" / "queries.jsonl.import.json").write_text(json.dumps({**report, "notes": ["a note"], "split": "x"}))
    CliRunner().invoke(app, ["report", str(root / "run")])
    return root


COMMANDS = {
    "report": ("report", "{root}/run"),
    "compare": ("compare", "{root}/run"),
    "compare stages": ("compare", "{root}/run:sft", "{root}/run:grpo", "--format", "json"),
    "agreement": ("agreement", "{root}/run/seed-0/sft/eval/samples.jsonl", "--labels", "{samples}"),
    "validate": ("validate", "{root}/run/seed-0/sft/eval/samples.jsonl", "--stats"),
    "data card": ("data", "card", "{root}/data", "--output", "{root}/card.md"),
    "data check": ("data", "check", "{root}/data"),
    "data stats": ("data", "stats", "{root}/data/dpo.jsonl"),
    "data build": ("data", "build", "{root}/data", "--scenes", "described", "{sizes}"),
}
READS = {
    "report": ("sft/eval/samples.jsonl", "sft/manifest.json", "grpo/rollouts.jsonl", "report.json"),
    "compare": ("sft/eval/samples.jsonl",),
    "compare stages": ("grpo/eval/samples.jsonl",),
    "agreement": ("sft/eval/samples.jsonl",),
    "validate": ("sft/eval/samples.jsonl",),
    "data card": ("built.json", "queries.jsonl.import.json", "sft.jsonl"),
    "data check": ("sft.jsonl", "dpo.jsonl", "grpo.jsonl"),
    "data stats": ("dpo.jsonl",),
    "data build": ("built.json", "test.jsonl"),
}


def places(value, path=()):
    """Return the path of every value in a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, child in children for each in places(child, (*path, key)))]


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def removed(value, path):
    return {key: child for key, child in value.items() if key != path} if isinstance(value, dict) else value


def damaged(content, seed):
    """Return the content with a damage that a seed chooses."""
    rng = random.Random(seed)
    kind = rng.choice(["bytes", "cut", "flip", "value", "value", "value", "missing", "more", "value"])
    if kind == "bytes":
        return rng.choice(OTHER_BYTES)
    if kind == "cut":
        return content[: rng.randrange(len(content))]
    if kind == "flip":
        place = rng.randrange(len(content))
        other = (content[place] + rng.randrange(1, 256)) % 256
        return content[:place] + bytes([other]) + content[place + 1 :]
    lines = content.splitlines() if b"\n{" in content else [content]
    number = rng.randrange(len(lines))
    value = json.loads(lines[number])
    if kind == "value":
        value = replaced(value, rng.choice(places(value)), rng.choice(OTHER_VALUES))
    elif kind == "missing":
        value = removed(value, rng.choice(list(value)))
    else:
        value["more"] = rng.choice(OTHER_VALUES)
    lines[number] = json.dumps(value).encode()
    return b"\n".join(lines) + b"\n"


def run(name, root, samples):
    sizes = ("--sft", "3", "--dpo", "2", "--grpo", "2", "--validation", "2", "--test", "2", "--pairs-per-query", "2")
    words = [word.format(root=root, samples=samples, sizes="") for word in COMMANDS[name] if word != "{sizes}"]
    if "{sizes}" in COMMANDS[name]:
        words += sizes
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_this_table_works_on_what_is_whole(name, whole):
    result = run(name, whole, whole / "run" / "seed-0" / "grpo" / "eval" / "samples.jsonl")
    assert result.exit_code in {0, 1}, (result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("name", COMMANDS)
@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@example(seed=2530)  # a lone surrogate in a manifest
@example(seed=3264143)  # and one in the record of an import
def test_a_damaged_file_is_told_or_does_not_matter(name, whole, tmp_path_factory, seed):
    root = tmp_path_factory.mktemp("damaged") / "root"
    shutil.copytree(whole, root)
    file = random.Random(seed).choice(READS[name])
    path = next(root.glob(f"data/{file}"), root / "run" / "seed-0" / file)
    path = path if path.exists() else root / "run" / file
    path.write_bytes(damaged(path.read_bytes(), seed))
    result = run(name, root, whole / "run" / "seed-0" / "grpo" / "eval" / "samples.jsonl")
    shutil.rmtree(root)
    assert result.exception is None or isinstance(result.exception, (SystemExit, UserError)), (file, result.exc_info)
    assert "\x1b[2J" not in result.output
    if name in {"report", "compare", "compare stages", "agreement"}:
        assert not re.search(r"\b(nan|inf)\b", result.output)
