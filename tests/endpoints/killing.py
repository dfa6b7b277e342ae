"""Runs a synthesis with the real command, kills it several times, and checks the result.

    python -m tests.endpoints.killing --queries 500 --kills 3
    python -m tests.endpoints.killing --queries 500 --kills 3 --model runs/pocket/merged

builds pocket queries and runs the command with a stand-in teacher, or a real model behind `transformers serve`, through
a proxy that injects faults. It kills the command with SIGKILL after certain numbers of requests, then lets it finish,
and prints the counts and the folder with all files.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from data.files.json_lines import read_rows, write_rows
from data.pocket.world import generate, save
from data.rows import SFTRow
from tests.endpoints.proxy import Fault, FaultyProxy
from tests.endpoints.served_model import replies_of, served
from tests.endpoints.server import Endpoint
from tests.endpoints.teacher_model import Habit, TeacherModel
from toolkit.planner import plan_query

CONCURRENCY = 8
FAULTS = (Fault.STALL, Fault.TOO_MANY, Fault.SERVER_ERROR, Fault.CUT)
SMALL = ("--max-tokens", 96, "--repairs", 1)
"""Flags for a small model, which often does not stop by itself."""
PRICES = {"--price-in": 0.5, "--price-out": 1.5}


def make_queries(folder, count, seed=0):
    """Write pocket queries and their pictures; return them."""
    items = list(generate("train", count, seed))
    save(items, folder)
    write_rows(folder / "queries.jsonl", [item.query for item in items])
    return [item.query for item in items]


def command(folder, url, *more, model="stand-in"):
    """Return the command line of a synthesis in a folder."""
    options = {"--data": folder / "queries.jsonl", "--output": folder / "sft.jsonl", "--teacher-url": url}
    options |= {"--teacher-model": model, "--concurrency": CONCURRENCY, "--timeout": 60, "--attempts": 8} | PRICES
    flags = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-m", "stages", "data", "synthesize", *flags, *map(str, more)]


class Killing:
    """A teacher that kills its client at given numbers of requests."""

    def __init__(self, model, kill_at):
        self.model = model
        self.kill_at = list(kill_at)
        self.process = None
        self.answered = Counter()
        """Number of answered requests by content."""

    def __call__(self, request):
        self.answered[json.dumps(request, sort_keys=True)] += 1
        if self.kill_at and self.answered.total() >= self.kill_at[0]:
            self.kill_at.pop(0)
            os.kill(self.process.pid, signal.SIGKILL)
        return self.model(request)


def run_killed(folder, queries, kills, *, fault_rate=0.0):
    """Run a synthesis with the stand-in, with kills, to its end; return the actual and the expected counts.

    Args:
        folder: folder with `queries.jsonl`.
        queries: the queries in that file.
        kills: number of kills.
        fault_rate: share of requests with a transport fault.
    """
    model = TeacherModel(queries, folder, plan_query)
    replies = {Habit.RIGHT: 1, Habit.REPAIRED: 2, Habit.STUBBORN: 3}
    wanted = sum(replies[model.habit(query)] for query in queries)
    habits = Counter(model.habit(query) for query in queries)
    known = {
        "never_right": habits[Habit.STUBBORN],
        "right_when_told": habits[Habit.REPAIRED],
        "questions": wanted,
    }
    return known | _run(folder, model, "stand-in", kill_at=_evenly(wanted, kills), fault_rate=fault_rate)


def run_served(folder, queries, kills, path, *, fault_rate=0.0):
    """Run a synthesis with the model of a folder, with kills, to its end; return the counts.

    Args:
        folder: folder with `queries.jsonl`.
        queries: the queries in that file.
        kills: number of kills, spread over as many requests as there are queries.
        path: folder of the model.
        fault_rate: share of requests with a transport fault.
    """
    with served(path) as url:
        return _run(
            folder,
            replies_of(url),
            path,
            kill_at=_evenly(len(queries), kills),
            fault_rate=fault_rate,
            more=SMALL,
        )


def _evenly(num_requests, kills):
    return [num_requests * (number + 1) // (kills + 1) for number in range(kills)]


def _run(folder, model, name, *, kill_at, fault_rate, more=()):
    killing = Killing(model, kill_at)
    codes, printed = [], ""
    rates = dict.fromkeys(FAULTS, fault_rate / len(FAULTS))
    with Endpoint(killing) as upstream, FaultyProxy(upstream.url, rates, stall_seconds=0.2) as proxy:
        while not codes or codes[-1] == -signal.SIGKILL:
            process = subprocess.Popen(command(folder, proxy.url, *more, model=name), stderr=subprocess.PIPE, text=True)
            killing.process = process
            printed = process.communicate()[1]
            codes.append(process.returncode)
        made = {str(fault): count for fault, count in proxy.made.items() if fault}
    report = json.loads((folder / "sft.synthesis.json").read_text())
    rejects = [json.loads(line) for line in (folder / "sft.rejected.jsonl").read_text().splitlines()]
    return {
        "exit_codes": codes,
        "queries": report["queries"],
        "rows": len(read_rows(folder / "sft.jsonl", SFTRow)),
        "rejects": len(rejects),
        "repaired": report["repaired"],
        "different_questions_answered": len(killing.answered),
        "answered_more_than_once": killing.answered.total() - len(killing.answered),
        "faults_on_the_way": made,
        "printed": printed,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--faults", type=float, default=0.1)
    parser.add_argument("--model", help="folder of a whole model to be served, instead of the stand-in")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="synthesis-"))
    queries = make_queries(folder, arguments.queries)
    if arguments.model:
        found = run_served(folder, queries, arguments.kills, arguments.model, fault_rate=arguments.faults)
    else:
        found = run_killed(folder, queries, arguments.kills, fault_rate=arguments.faults)
    printed = found.pop("printed")
    sys.stdout.write(f"{json.dumps(found, indent=1)}\n{printed}\n{folder}\n")


if __name__ == "__main__":
    main()
