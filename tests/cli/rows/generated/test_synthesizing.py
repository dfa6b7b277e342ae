"""`tritrace data synthesize` as a command: from queries to valid rows, even if it is killed in between."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import pytest

from data.files.json_lines import read_rows, write_rows
from data.pocket.world import generate, save
from data.rows import SFTRow
from stages.cli.rows.generated.spending import Prices
from tests.endpoints import Endpoint, says
from tests.endpoints.judge_model import honest, sections, verdict_on
from tests.endpoints.killing import CONCURRENCY, command, make_queries, run_killed
from tests.endpoints.scripted import Scripted, fails
from tests.endpoints.teacher_model import TeacherModel
from toolkit.planner import named_plan, plan_query

NUM_QUERIES = 24
PLAN = named_plan("writing")


@pytest.fixture
def queries(tmp_path):
    return make_queries(tmp_path, NUM_QUERIES)


def arguments(folder, url, *more):
    return command(folder, url, *more)[3:]


def good(queries, folder):
    return TeacherModel(queries, folder, plan_query, repaired=0, stubborn=0)


def test_rows_are_written_beside_the_queries_and_the_counts_are_told(tritrace, tmp_path, queries):
    with Endpoint(good(queries, tmp_path)) as endpoint:
        code, out, err = tritrace(*arguments(tmp_path, endpoint.url))
    assert code == 0
    assert len(read_rows(tmp_path / "sft.jsonl", SFTRow)) == NUM_QUERIES
    assert f"{NUM_QUERIES} wanted: {NUM_QUERIES} rows, 0 invalid, 0 filtered, 0 unanswered, 0 unjudged" in err
    assert f"{NUM_QUERIES} requests, {100 * NUM_QUERIES:,} + {10 * NUM_QUERIES} tokens spent, 0 saved" in err
    cost = Prices(0.5, 1.5).cost(100 * NUM_QUERIES, 10 * NUM_QUERIES)
    assert f"cost {cost:.4f}; the cached replies had cost 0.0000" in err
    assert "sft.rejected.jsonl" in out
    assert tritrace("data", "check", tmp_path)[0] == 0


@pytest.mark.process
def test_a_killed_process_is_taken_up_and_asks_nothing_twice(tmp_path, queries):
    found = run_killed(tmp_path, queries, kills=2)
    assert found["exit_codes"] == [-signal.SIGKILL] * 2 + [0]
    assert found["rows"] + found["rejects"] == NUM_QUERIES
    assert found["rejects"] == found["never_right"]
    assert found["repaired"] == found["right_when_told"]
    assert found["different_questions_answered"] == found["questions"]
    # Only requests that were open at the kill are sent again.
    assert found["answered_more_than_once"] <= 2 * CONCURRENCY
    before = {path.name: path.read_bytes() for path in tmp_path.glob("sft*.json*")}
    with Endpoint(lambda _: fails(500)) as endpoint:  # no longer needed
        done = subprocess.run(command(tmp_path, endpoint.url), capture_output=True, check=False)
        assert (done.returncode, endpoint.requests) == (0, [])
    assert {path.name: path.read_bytes() for path in tmp_path.glob("sft*.json*")} == before


@pytest.fixture
def interruptible():
    """Make new processes react to SIGINT: a background shell ignores it, and child processes inherit this."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.process
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_leaves_nothing_half_written(tmp_path, queries):
    def slow(request):
        if len(endpoint.requests) == 10:
            process.send_signal(signal.SIGINT)
            time.sleep(3)  # on a busy machine, the rest could finish before the signal arrives
        return model(request)

    model = good(queries, tmp_path)
    with Endpoint(slow) as endpoint:
        process = subprocess.Popen(
            command(tmp_path, endpoint.url, "--concurrency", "1"), stderr=subprocess.PIPE, text=True
        )
        told = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "interrupted; the same command continues" in told
    assert not list(tmp_path.glob("*sft.jsonl*"))


@pytest.mark.process
def test_a_terminal_shows_a_bar_and_a_log_plain_lines(tmp_path, queries):
    model = good(queries, tmp_path)

    def slow(request):
        time.sleep(0.02)
        return model(request)

    with Endpoint(slow) as endpoint:
        mine, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 200))
        process = subprocess.Popen(command(tmp_path, endpoint.url), stderr=theirs, stdout=subprocess.DEVNULL)
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(mine, 1 << 16)
            except OSError:  # the other end is closed
                break
        assert process.wait(60) == 0
    assert b"synthesize:" in shown
    assert b"valid 100.0%" in shown
    assert b"cost 0.0" in shown
    child = (
        "import stages.cli.rows.generated.spending as s; s.LINE_SECONDS = 0.0; from stages.__main__ import main; main()"
    )
    with Endpoint(slow) as endpoint:
        (tmp_path / "sft.replies.sqlite").unlink()
        done = subprocess.run(
            [sys.executable, "-c", child, *arguments(tmp_path, endpoint.url)],
            capture_output=True,
            text=True,
            check=True,
        )
    lines = [line for line in done.stderr.splitlines() if line.startswith("synthesize: ")]
    assert len(lines) >= NUM_QUERIES
    assert f"{NUM_QUERIES}/{NUM_QUERIES} done" in lines[-1]
    assert "\r" not in done.stderr


def test_a_judge_decides_what_is_kept(tritrace, tmp_path, queries):
    with Endpoint(good(queries, tmp_path)) as teacher, Endpoint(honest) as judge:
        flags = ("--judge", "llm", "--judge-url", judge.url, "--judge-model", "j", "--judge-cache", "")
        bounds = ("--min-safety", 1, "--min-mean", 1.5)
        code, _, err = tritrace(*arguments(tmp_path, teacher.url, *flags, *bounds))
        verdicts = [verdict_on(sections(request)) for request in judge.requests]
    kept = [each for each in verdicts if each["safety"] >= 1 and (each["helpfulness"] + each["rigor"]) / 2 >= 1.5]
    assert code == 0
    assert len(read_rows(tmp_path / "sft.jsonl", SFTRow)) == len(kept)
    assert 0 < len(kept) < NUM_QUERIES == len(verdicts)
    rejects = [json.loads(line) for line in (tmp_path / "sft.rejected.jsonl").read_text().splitlines()]
    assert {each["fate"] for each in rejects} == {"filtered"}
    assert all("is below" in each["reasons"][0] for each in rejects)
    assert f"judged {NUM_QUERIES} responses" in err


def test_the_rule_judge_finds_reference_answers_good_enough(tritrace, tmp_path, queries):
    with Endpoint(good(queries, tmp_path)) as endpoint:
        assert tritrace(*arguments(tmp_path, endpoint.url, "--judge", "rule"))[0] == 0
    assert len(read_rows(tmp_path / "sft.jsonl", SFTRow)) == NUM_QUERIES


def test_what_the_judge_leaves_open_makes_the_exit_code_1(tritrace, tmp_path, queries):
    with Endpoint(good(queries, tmp_path)) as teacher, Endpoint(lambda _: says("I would rather not.")) as judge:
        flags = ("--judge", "llm", "--judge-url", judge.url, "--judge-model", "j", "--judge-cache", "")
        code, _, err = tritrace(*arguments(tmp_path, teacher.url, *flags, "--limit", 3))
    assert code == 1
    assert "3 unjudged" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--split", "nowhere"), "no query of the split 'nowhere'"),
        (("--quota", "category=fraud"), "expected such as"),
        (("--plan", "nothing"), "no plan named 'nothing'"),
        (("--plans-per-query", "2"), "only --planner sampling"),
        (("--judge", "llm"), "judge_url"),
        (("--output", "elsewhere/sft.jsonl"), "images are relative"),
        (("--output", "{folder}/theirs.jsonl"), "already exists, not written by this command"),
        (("--teacher-url", "nonsense"), "teacher_url: expected an address"),
    ],
)
@pytest.mark.usefixtures("queries")
def test_what_cannot_be_done_is_said_before_anything_is_asked(tritrace, tmp_path, flags, message):
    (tmp_path / "theirs.jsonl").write_text("theirs")
    flags = [flag.replace("{folder}", str(tmp_path)) for flag in flags]
    with Scripted(fails(500)) as endpoint:
        code, _, err = tritrace(*arguments(tmp_path, endpoint.url, *flags))
        assert endpoint.requests == []
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "sft.jsonl").exists()
    assert (tmp_path / "theirs.jsonl").read_text() == "theirs"


def test_a_given_plan_is_that_of_every_row(tritrace, tmp_path, queries):
    with Endpoint(TeacherModel(queries, tmp_path, lambda *_: PLAN, repaired=0, stubborn=0)) as endpoint:
        assert tritrace(*arguments(tmp_path, endpoint.url, "--plan", "writing", "--quota", "category=*:2"))[0] == 0
    rows = read_rows(tmp_path / "sft.jsonl", SFTRow)
    assert {row.plan for row in rows} == {PLAN.to_json()}
    by_id = {query.id: query for query in queries}
    categories = [by_id[row.query_id].labels.category for row in rows]
    assert all(categories.count(category) <= 2 for category in categories)


def test_a_teachers_rows_become_the_rows_of_all_stages(tritrace, tmp_path, queries):
    held_out = [item.query for item in generate("validation", 5, 0)]
    save(list(generate("validation", 5, 0)), tmp_path)
    write_rows(tmp_path / "queries.jsonl", [*queries, *held_out])
    with Endpoint(good(queries, tmp_path)) as endpoint:
        code, _, err = tritrace(*arguments(tmp_path, endpoint.url, "--all-stages"))
    assert code == 0
    assert f"dpo {2 * NUM_QUERIES}, grpo {NUM_QUERIES}, validation 5" in err
    assert f"next: tritrace data check {tmp_path}" in err
    assert tritrace("data", "check", tmp_path)[0] == 0


@pytest.mark.usefixtures("queries")
def test_all_stages_want_their_files_in_one_folder(tritrace, tmp_path):
    flags = ["--data", tmp_path / "queries.jsonl", "--output", tmp_path / "other.jsonl", "--all-stages"]
    code, _, err = tritrace("data", "synthesize", *flags, "--teacher-url", "http://x/v1", "--teacher-model", "m")
    assert code == 2
    assert "--all-stages needs" in err
