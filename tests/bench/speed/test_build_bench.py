"""`tritrace data build --preset published` with one process and with two: `make bench`. Plain `pytest` builds few rows.

The two run in turns, and the time includes starting the processes. The goal is nearly half the time on two cores, with
the same bytes.
"""

import hashlib
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "stages", "data", "build", "--preset", "published"]
LITTLE = ["--sft", "120", "--dpo", "120", "--grpo", "120", "--validation", "10", "--test", "20"]
NUM_TURNS = 3


def seconds_of(folder, jobs, sizes):
    began = time.perf_counter()
    subprocess.run([*COMMAND, folder, "--jobs", str(jobs), *sizes], cwd=ROOT, capture_output=True, check=True)
    return time.perf_counter() - began


def content(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.benchmark(group="building the published preset")
def test_two_processes_beside_one(benchmark, tmp_path):
    sizes, num_turns = (LITTLE, 1) if benchmark.disabled else ([], NUM_TURNS)

    def turns():
        return [[seconds_of(tmp_path / f"{jobs}-{turn}", jobs, sizes) for jobs in (1, 2)] for turn in range(num_turns)]

    seconds = benchmark.pedantic(turns, rounds=1)
    contents = [content(folder) for folder in tmp_path.iterdir()]
    assert len(contents) == 2 * num_turns
    assert all(each == contents[0] for each in contents)
    one, two = (statistics.median(each) for each in zip(*seconds, strict=True))
    ratios = sorted(with_two / with_one for with_one, with_two in seconds)
    sys.stdout.write(
        f"\none process {one:.1f} s, two {two:.1f} s; ratio {statistics.median(ratios):.2f}"
        f" [{ratios[0]:.2f}, {ratios[-1]:.2f}] over {num_turns} turns\n"
    )
