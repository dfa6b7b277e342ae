"""`tritrace validate` on long files: `make bench`. Plain `pytest` runs each test once on short files.

The peak memory of a whole process is printed for a short and a long file, with their ratio. The throughput is printed
for one process and for two, including their start.
"""

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from data.pocket.world import generate
from data.synthesis import reference_response
from toolkit.planner import named_plan, plan_query

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "stages", "validate", "--plan", "everyday", "--format", "json"]
# A process inherits the peak of its parent, so a small process runs between pytest and the command.
MEASURED = """
import resource, subprocess, sys
with open(sys.argv[1], "wb") as out:
    subprocess.run(sys.argv[2:], stdout=out, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
_TO_MIB = 1 << (20 if sys.platform == "darwin" else 10)


@pytest.fixture(scope="module")
def block():
    """A thousand rows of typical responses under one plan."""
    plan = named_plan("everyday")
    queries = (item.query for item in generate("train", 10_000, seed=0))
    fitting = islice((query for query in queries if plan_query(query.text, 1).fingerprint == plan.fingerprint), 1000)
    rows = [{"response": reference_response(query, plan).render()} for query in fitting]
    assert len(rows) == 1000
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.fixture
def rows_of(tmp_path, block):
    """Write a file of so many thousand rows; it is large and is removed after the test."""
    paths = []

    def write(num_thousands):
        paths.append(tmp_path / f"{num_thousands}.jsonl")
        with paths[-1].open("w", encoding="utf-8") as file:
            for _ in range(num_thousands):
                file.write(block)
        return paths[-1]

    yield write
    for path in paths:
        path.unlink()


def peak_mib(path, jobs):
    """Return the peak resident memory of the largest process of a run."""
    command = [sys.executable, "-c", MEASURED, "/dev/null", *COMMAND, path, "--jobs", str(jobs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout) / _TO_MIB


@pytest.mark.benchmark(group="peak memory of validate")
@pytest.mark.parametrize("jobs", [1, 2])
def test_peak_memory_does_not_grow_with_the_file(benchmark, rows_of, capsys, jobs):
    short, long = (1, 2) if benchmark.disabled else (10, 500)
    small = peak_mib(rows_of(short), jobs)
    large = benchmark.pedantic(peak_mib, args=(rows_of(long), jobs), rounds=1)
    with capsys.disabled():
        sys.stdout.write(
            f"\npeak memory of validate --jobs {jobs}: {small:.1f} MiB for {short},000 rows, {large:.1f} MiB for "
            f"{long},000 rows, ratio {large / small:.3f}\n"
        )
    assert large < 1.1 * small


@pytest.mark.benchmark(group="20,000 rows through the command, by processes")
@pytest.mark.parametrize("jobs", [1, 2])
def test_throughput(benchmark, rows_of, jobs):
    num_thousands = 1 if benchmark.disabled else 20
    command = [*COMMAND, rows_of(num_thousands), "--jobs", str(jobs)]
    done = benchmark.pedantic(
        subprocess.run, args=(command,), kwargs={"cwd": ROOT, "capture_output": True, "check": True}, rounds=3
    )
    assert done.stdout.count(b"\n") == 1000 * num_thousands
