"""`tritrace validate` and the processes around it: workers, Ctrl-C, a reader that goes away, a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.cli.validate.checker import Checked, LostWorkerError, check_all
from stages.cli.validate.pieces import Piece
from tests.cli.examples import BAD, GOOD, lines, record

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "stages", "validate"]


@pytest.mark.slow
@pytest.mark.parametrize("output", ["text", "json", "sarif"])
def test_several_processes_print_what_one_prints(tritrace, file, output):
    many = lines(*([record()] * 30 + [record(BAD)] * 5 + ["{", "[]"]) * 6)
    path, raw = file("a.jsonl", many), file("b.txt", BAD)
    alone, together = (
        tritrace("validate", path, raw, "-", "--format", output, "--jobs", jobs, stdin=many) for jobs in (1, 2)
    )
    assert alone == together
    assert alone[0] == 2
    assert "421 responses: 360 valid" in alone[2]


@dataclass(frozen=True)
class Crash:
    """Kills its own process at the piece of a given line."""

    line: int

    def __call__(self, batch):
        if any(piece.line == self.line for piece in batch):
            os._exit(3)
        return Checked(num_bytes=len(batch))


def test_a_worker_that_dies_is_told_with_the_place_in_the_input():
    pieces = (Piece("a.jsonl", number, 1, b"{}") for number in range(1, 10_000))
    done = []
    with pytest.raises(LostWorkerError, match=r"a\.jsonl:\d+ to a\.jsonl:\d+") as lost:
        done.extend(check_all(pieces, Crash(5_000), jobs=2))
    num_done = sum(each.num_bytes for each in done)
    assert num_done < 5_000
    assert f"a.jsonl:{num_done + 1} to " in str(lost.value)


def test_only_so_much_is_read_ahead():
    """Memory stays constant: if the results are read slowly, the input is read slowly too."""
    num_read = 0

    def pieces():
        nonlocal num_read
        for number in range(1, 100_000):
            num_read = number
            yield Piece("a.jsonl", number, 1, b"{}")

    for jobs, most in ((1, 1), (2, 64 * 8)):
        checked = check_all(pieces(), Crash(0), jobs)
        next(checked)
        checked.close()
        assert num_read <= most


@pytest.fixture
def interruptible():
    """Make new processes interruptible, even if this process was started in the background and is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.process
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("output", ["json", "sarif"])
def test_ctrl_c_ends_it_cleanly(jobs, output):
    command = [*COMMAND, "-", "--format", output, "--jobs", jobs]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with (
        subprocess.Popen(["yes", json.dumps(record(BAD))], stdout=subprocess.PIPE) as endless,
        subprocess.Popen(
            command, cwd=ROOT, text=True, start_new_session=True, stdin=endless.stdout, **pipes
        ) as process,
    ):
        endless.stdout.close()  # only the command reads it, so it ends with the command
        out = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        rest, err = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130
    assert err.startswith("interrupted: ")
    assert err.count("\n") == 1
    if output == "json":
        assert all(json.loads(line)["valid"] is False for line in (out + rest).splitlines())
    else:
        (run,) = json.loads(out + rest)["runs"]
        assert run["invocations"] == [{"executionSuccessful": False, "exitCode": 130}]


@pytest.mark.process
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_reader_that_goes_away_is_no_traceback(file, jobs):
    path = file("a.jsonl", [record(BAD)] * 2000)
    command = [*COMMAND, path, "--jobs", jobs]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, "")


@pytest.mark.process
def test_a_terminal_shows_progress_and_a_log_does_not(file):
    path = file("a.jsonl", [record(GOOD)] * 50)
    terminal, theirs = pty.openpty()
    termios.tcsetwinsize(terminal, (40, 100))
    done = subprocess.run([*COMMAND, path], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert (done.returncode, done.stdout) == (0, b"")
    total = path.stat().st_size
    assert f"/{total / 1000:.0f}k [" in shown
    assert shown.endswith("50 responses: 50 valid (100.0 %), 0 invalid\r\n")
    logged = subprocess.run([*COMMAND, path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert logged.stderr == "50 responses: 50 valid (100.0 %), 0 invalid\n"
