"""Commands in a new process, which loads the libraries, print only our own lines."""

import json
import os
import re
import subprocess
import sys
import warnings

import pytest

from stages import __main__ as command_line
from stages.pocket import pretrain
from stages.pocket.training import PretrainingRecipe
from stages.tracking.run import TrackingWarning
from tests.conftest import REPOSITORY
from tests.stages.test_curriculum import recipe  # noqa: F401 - a fixture

OURS = re.compile(
    r"(\w+: )?(next|data|model|base|sft|dpo|grpo|preflight|curriculum|report|export|exported|evaluation|warning): "
    r"|\s"  # a setting, a table, the continuation of a line
    r"|Mean \[95 % interval\]|training seeds"
    r"|judged \d+ responses|run: "
)
COMMANDS = """
import json, sys
from stages import __main__ as command_line, grpo
from tests.stages.conftest import longer_reward

grpo.build_reward = lambda *_, **__: longer_reward
for words in json.loads(sys.argv[1]):
    sys.argv = ["tritrace", *words]
    try:
        command_line.main()
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
"""


def foreign(text):
    return [line for line in text.splitlines() if line and not OURS.match(line)]


def test_what_a_library_prints_is_known_as_foreign():
    said = """\
Failed to load CPU gemm_4bit_forward from kernels-community: No module named 'kernels'.
2026/11/29 22:31:47 INFO mlflow.store.db.utils: Updating database tables
Writing model shards: 100%|##########| 1/1 [00:00<00:00, 28.93it/s]
Setting `pad_token_id` to `eos_token_id`:1 for open-end generation.
stages/sft.py:1: FutureWarning: `is_gradient_checkpointing` is deprecated
sft: step 1/450  loss 5.05  1.13 s/step, 509 s left
  model    a/b    overridden by the flag"""
    assert foreign(said) == said.splitlines()[:5]


@pytest.mark.slow
def test_a_curriculum_and_an_export_print_our_lines_alone(recipe, tmp_path):  # noqa: F811 - the fixture
    run = tmp_path / "run"
    commands = [
        ["curriculum", str(recipe), "--seeds", "0"],
        ["export", str(run / "seed-0" / "dpo"), "--to", str(tmp_path / "merged"), "--merge"],
        ["report", str(run)],
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "mlflow.db").is_file()  # because the store was new
    assert "sft: step 1/2" in done.stdout
    assert foreign(done.stdout) == []
    assert foreign(done.stderr) == []
    assert re.search(r"grpo: evaluating: 12/12 prompts  \d+\.\d\d s/prompt, 0 s left", done.stderr)


def test_pretraining_says_how_far_it_is_and_how_long_it_takes(tmp_path, capfd):
    short = PretrainingRecipe(
        num_scenes=8, sight_steps=1, sight_batch_size=4, first_steps=1, num_lessons=100, steps=1, batch_size=4
    )
    pretrain.cached_pocket_model(tmp_path, trace_texts=[], seed=0, recipe=short)
    said = capfd.readouterr()
    assert foreign(said.out) == []
    assert said.err == ""
    for lesson, steps in {"seeing": "1/1", "answering": "2/2"}.items():
        assert re.search(rf"model: {lesson}: step {steps}  loss \S+  \d+\.\d\d s/step, 0 s left", said.out)


def test_our_own_warning_is_a_line_and_a_librarys_is_none(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = command_line._show_warning
        warnings.warn("the store does not answer", TrackingWarning, stacklevel=1)
        warnings.warn("use something else", FutureWarning, stacklevel=1)
    assert capsys.readouterr().err == "tritrace: warning: the store does not answer\n"
