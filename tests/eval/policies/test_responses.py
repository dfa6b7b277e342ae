"""Responses are kept one by one, so that an interrupted evaluation samples none twice."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.evaluation import evaluate_once
from eval.judges import RuleJudge
from eval.policies.kept import FILE_NAME, respond_once
from tests.eval.prompts import Recorded, pocket_prompts, said

PROMPTS = pocket_prompts(12)
TEXTS = [said(prompt) for prompt in PROMPTS]
SLOW = """
import sys, time
from pathlib import Path
from eval.policies.kept import respond_once
from tests.eval.prompts import Recorded, pocket_prompts

class Slow(Recorded):
    def respond(self, prompts, root, *, done, keep):
        def late(place, generation):
            keep(place, generation)
            time.sleep(0.05)
        return super().respond(prompts, root, done=done, keep=late)

respond_once(Slow(), pocket_prompts(12), Path(), Path(sys.argv[1]), {"of": "the test"})
"""


def respond(policy, folder, settings=None):
    generations = respond_once(policy, PROMPTS, Path(), folder, settings or {"of": "the test"})
    return [generation.text for generation in generations]


def test_what_was_answered_before_an_interruption_is_not_asked_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        respond(Recorded(limit=5), tmp_path)
    later = Recorded()
    assert respond(later, tmp_path) == TEXTS
    assert later.asked == [prompt.id for prompt in PROMPTS[5:]]


@pytest.mark.process
def test_a_killed_process_loses_no_finished_response(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], cwd=Path(__file__).parents[3])
    path = tmp_path / FILE_NAME
    try:
        deadline = time.monotonic() + 300
        while not path.exists() or path.read_bytes().count(b"\n") < 4:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    num_kept = path.read_bytes().count(b"\n") - 1
    assert 3 <= num_kept < len(PROMPTS)
    later = Recorded()
    assert respond(later, tmp_path) == TEXTS
    assert later.asked == [prompt.id for prompt in PROMPTS[num_kept:]]


@pytest.mark.parametrize("num_bytes", [1, 20])
def test_a_half_written_line_is_asked_again(tmp_path, num_bytes):
    respond(Recorded(), tmp_path)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-num_bytes])
    later = Recorded()
    assert respond(later, tmp_path) == TEXTS
    assert later.asked == [PROMPTS[-1].id]
    assert respond(Recorded(limit=0), tmp_path) == TEXTS


def test_other_settings_or_prompts_begin_anew(tmp_path):
    respond(Recorded(), tmp_path)
    later = Recorded()
    respond(later, tmp_path, {"of": "another test"})
    assert len(later.asked) == len(PROMPTS)


def test_an_evaluation_that_is_complete_is_read_and_its_responses_are_gone(tmp_path):
    settings = {"folder": tmp_path, "sampling": {"of": "the test"}, "judged_by": {}}
    first = evaluate_once(Recorded, PROMPTS, Path(), RuleJudge(), **settings)
    assert not (tmp_path / FILE_NAME).exists()
    assert evaluate_once(lambda: pytest.fail("loaded"), PROMPTS, Path(), RuleJudge(), **settings) == first
    assert [sample.response for sample in first] == TEXTS
