"""One definition, many derivations: an added tool is in all of them, and they need no other package."""

import re
import subprocess
import sys
import venv
from pathlib import Path
from random import Random

import pytest
from llguidance import LLMatcher

from protocol import (
    Key,
    Persona,
    Phase,
    Tool,
    accepts,
    custom_tool,
    diagnose,
    grammar_of,
    system_prompt,
    trace_schema,
)
from protocol.keys.numbers import Integer, Number
from protocol.keys.types import Enum, Flag, List, Text
from protocol.plans.graph import Graph
from tests.protocol.derivations import draw_sentence, mask_accepts, schema_validator
from toolkit import topologies
from toolkit.catalogue import CATALOGUE
from toolkit.planner import build_plan, named_plan

ROOT = Path(__file__).parents[3]
SOUND = Tool(
    "SOUND-CHECK",
    Phase.PERCEPTION,
    (
        Key("loudness", Enum(("quiet", "deafening")), "how loud it is"),
        Key("seconds", Integer(0, 59), "how long it lasts"),
        Key("pitch", Number(-1, 1, 1), "how high it is"),
        Key("spoken", Flag(), "whether somebody speaks"),
        Key("voices", List(Text(7, 1), 3, 1), "who speaks"),
        Key("words", Text(9), "what is said"),
    ),
    "Listen to the recording.",
)
LISTENER = Persona("listener", "You listen before you speak.")
LINE = '[SOUND-CHECK]: loudness=deafening; seconds=7; pitch=-0.5; spoken=true; voices=["Ada"]; words="hello"'


def star(tools):
    """A graph in which one judgement and one decision follow any perception."""
    perception, reasoning, decision = ([tool.name for tool in tools if tool.phase is phase] for phase in Phase)
    edges = [*((name, reasoning[0]) for name in perception), (reasoning[0], decision[0])]
    return Graph("star", tuple(edges), tuple(perception), (decision[0],), max_steps=3)


@pytest.fixture
def plan(monkeypatch):
    monkeypatch.setitem(topologies.TOPOLOGIES, "star", star)
    tools = [CATALOGUE["VISUAL-SCAN"], SOUND, custom_tool("MUSE", Phase.REASONING), CATALOGUE["SAFETY-GATE"]]
    return build_plan(LISTENER, "star", tools)


def response(line):
    calls = f'{line}\n[MUSE]: note="so"\n[SAFETY-GATE]: decision=comply; reason="fine"'
    return f"<thinking>\n{calls}\n</thinking>\n<answer>\nYes.\n</answer>"


def test_what_is_added_is_in_the_texts_of_every_derivation(plan):
    for text in (grammar_of(plan), system_prompt(plan, "full"), str(trace_schema(plan))):
        for word in (SOUND.name, "deafening", *(key.name for key in SOUND.keys)):
            assert word in text
    for text in (system_prompt(plan, "full"), system_prompt(plan, "compact")):
        assert LISTENER.text in text
        assert SOUND.name in text
    for key in SOUND.keys:
        assert f"{key.name}: {key.about} ({key.type.describe()})" in system_prompt(plan, "full")
    assert "[SOUND-CHECK]: [MUSE]" in system_prompt(plan, "compact")


def test_what_is_added_is_decided_by_parser_mask_schema_and_rules(plan):
    slips = {
        "deafening": "loud",
        "=7": "=60",
        "-0.5": "-1.5",
        "true": "yes",
        '["Ada"]': "[]",
        "hello": "hello there",
    }
    good = diagnose(response(LINE), plan)
    assert good.diagnostics == ()
    assert accepts(response(LINE), plan)
    assert mask_accepts(response(LINE), plan)
    assert schema_validator(plan).is_valid(good.response.trace.to_json())
    for right, wrong in slips.items():
        text = response(LINE.replace(right, wrong))
        verdict = diagnose(text, plan)
        assert [found.family for found in verdict.diagnostics] == ["T"], wrong
        assert not accepts(text, plan)
        assert not mask_accepts(text, plan)
        assert not schema_validator(plan).is_valid(verdict.response.trace.to_json())


def test_the_mask_writes_what_was_added(plan):
    assert LLMatcher.grammar_from_lark(grammar_of(plan))
    sentences = [draw_sentence(plan, Random(seed)) for seed in range(12)]
    assert any("[SOUND-CHECK]" in sentence for sentence in sentences)
    assert all(diagnose(sentence, plan).is_valid for sentence in sentences)


def test_without_it_the_tool_is_unknown():
    found = diagnose(response(LINE), named_plan("any")).diagnostics
    assert [each.code for each in found if each.code == "T201"] == ["T201", "T201"]


README = (ROOT / "protocol" / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"(?s)```python\n(.*?)```", README)[0]
LINES = '{"response": "Sure."}\n'
BLOCKED = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "mlflow", "scipy", "hypothesis", "pytest")


@pytest.mark.process
def test_the_example_of_the_readme_runs_without_the_training_stack():
    assert len(EXAMPLE.splitlines()) <= 11
    block = f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED!r}))\n"
    command = [sys.executable, "-c", block + EXAMPLE]
    done = subprocess.run(command, cwd=ROOT, input=LINES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1:1: S101 there is no thinking block")


@pytest.mark.process
@pytest.mark.bare
def test_the_example_of_the_readme_runs_where_only_the_base_dependencies_are(tmp_path):
    venv.create(tmp_path / "bare")
    python = str(tmp_path / "bare" / "bin" / "python")
    uv = [str(Path(sys.executable).with_name("uv")), "pip"]  # the Makefile installs with it
    install = [*uv, "install", "--quiet", "--python", python, str(ROOT)]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    if re.search(r"Failed to fetch|client error|dns error|not found in the package registry", installed.stderr):
        pytest.skip("the base dependencies cannot be downloaded: no package index is reachable")
    assert installed.returncode == 0, installed.stderr
    listed = subprocess.run([*uv, "list", "--python", python], capture_output=True, text=True, check=True).stdout
    assert "pyyaml" in listed
    assert not {line.split()[0].lower() for line in listed.splitlines()} & set(BLOCKED)
    command = [python, "-c", EXAMPLE]
    done = subprocess.run(command, cwd=tmp_path, input=LINES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1:1: S101 there is no thinking block")
