"""If two processes would write the same output, the second gets an error that names the first."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from data.building.build import Sizes, build_pocket
from data.files.locks import LockedError, held
from data.sources.importing import run_import
from stages.export.draft import drafted

HOLD = """
import sys
from pathlib import Path
from data.files.locks import held
with held(Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""
TINY = Sizes(sft=2, dpo=2, grpo=2, validation=2, test=2)


@contextmanager
def another_process_holding(place):
    command = [sys.executable, "-c", HOLD, "build", str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()


@pytest.mark.process
def test_who_comes_second_is_told_who_holds_the_place(tmp_path):
    with another_process_holding(tmp_path / "data") as process:
        told = rf"data: is being written by process {process.pid} on .*\(-c build, "
        with pytest.raises(LockedError, match=told), held(tmp_path / "data"):
            pytest.fail("both hold it")
        with held(tmp_path / "other"):
            pass
    with held(tmp_path / "data"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_a_process_that_is_killed_holds_nothing(tmp_path):
    with another_process_holding(tmp_path / "data") as process:
        process.kill()
        process.wait()
        with held(tmp_path / "data"):
            pass


@pytest.mark.process
def test_the_name_of_a_holder_may_be_unreadable(tmp_path):
    with another_process_holding(tmp_path / "data"):
        (tmp_path / ".data.lock").write_text("[")
        with pytest.raises(LockedError, match="by another process"), held(tmp_path / "data"):
            pass


@pytest.mark.process
def test_who_may_wait_gets_it_in_the_end(tmp_path):
    with another_process_holding(tmp_path / "data") as process:
        process.stdin.close()
        with held(tmp_path / "data", wait_seconds=60):
            pass


def test_flags_are_not_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/bin/tritrace", "data", "synthesize", "--url", "http://me:secret@host"])
    with held(tmp_path / "rows"):
        text = (tmp_path / ".rows.lock").read_text()
    assert "tritrace data" in text
    assert "secret" not in text
    assert str(os.getpid()) in text


def build(folder):
    build_pocket(folder, TINY, seed=0)


def export(folder):
    with drafted(folder):
        pytest.fail("two exports at the same time")


@pytest.mark.process
@pytest.mark.parametrize("write", [build, export])
def test_writers_of_folders_hold_them(write, tmp_path):
    with another_process_holding(tmp_path / "out"), pytest.raises(LockedError, match="is being written by process"):
        write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_an_import_holds_its_output(tmp_path):
    class Job:
        output = tmp_path / "queries.jsonl"

    with another_process_holding(Job.output), pytest.raises(LockedError):
        run_import(Job, [], lambda _: None)


@pytest.mark.process
def test_two_builds_at_the_same_time_leave_one_whole_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tests.data.files.test_locks import build; build(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 1])
    assert all("LockedError" in error or not error for error in errors)
    assert not build_pocket(tmp_path / "out", TINY, seed=0)  # there is nothing left to do
    assert (tmp_path / "out" / "test.jsonl").read_text().count("\n") == 2
