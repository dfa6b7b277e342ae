"""Workers return the same results in the same order, and end when their parent process ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.workers import LostItemsError, map_in_order

ROOT = Path(__file__).parents[2]


def square(number):
    return number**2


def crash_at_seven(number):
    if number == 7:
        os._exit(3)
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order(jobs):
    assert list(map_in_order(square, range(30), jobs)) == [number**2 for number in range(30)]


def test_a_worker_that_dies_names_what_was_on_its_way():
    done = []
    with pytest.raises(LostItemsError) as lost:
        done.extend(map_in_order(crash_at_seven, range(1000), 2))
    assert lost.value.items[0] == len(done) <= 7
    assert 7 in lost.value.items


SLOW = """
import sys, time
from data.workers import map_in_order
from tests.data.test_workers import report_and_sleep
if __name__ == "__main__":
    list(map_in_order(report_and_sleep, [sys.argv[1]], 2))
"""


def report_and_sleep(path):
    Path(path).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(600)


@pytest.mark.process
def test_a_worker_ends_with_a_main_process_that_is_killed(tmp_path):
    script, noted = tmp_path / "slow.py", tmp_path / "worker.pid"
    script.write_text(SLOW, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    main = subprocess.Popen([sys.executable, script, noted], cwd=ROOT, env=environment)
    wait_until(lambda: noted.exists() and noted.read_text(encoding="utf-8"))
    worker = int(noted.read_text(encoding="utf-8"))
    main.send_signal(signal.SIGKILL)
    main.wait()
    wait_until(lambda: not is_running(worker))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(is_done, seconds=120):
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
