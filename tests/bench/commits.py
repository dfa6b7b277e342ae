"""Compares a step of GRPO with the same step at another commit: `python -m tests.bench.commits CHECKOUT`.

CHECKOUT is a clone at the other commit with its own environment (`make install` there). Both use the same model (the
pocket model's size, random weights), rows and recipe keys, and one thread. They take turns step by step, and processor
seconds are compared, so that other work on the machine affects both alike. All completions have the full length
(`min_new_tokens`). The first step is not counted. The rollouts of both must be equal: prompts, responses and rewards.

    git clone . ../before && git -C ../before checkout 604306e && make -C ../before install
    python -m tests.bench.commits ../before --steps 6
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.speed.conftest import write_world

HERE = Path(__file__).resolve().parents[2]
RECIPE = {
    "num_generations": 8,
    "per_device_train_batch_size": 64,
    "max_completion_length": 96,
    "temperature": 0.7,
    "beta": 1.0,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_steps": 5,
    "scale_rewards": "batch",
    "shuffle_dataset": "false",
    "zero_spread": "keep",
}
"""The pocket recipe of commit 604306e."""
WAITING = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def start(checkout, world, num_steps):
    """Start a checkout's worker."""
    keys = [f"{name}={value}" for name, value in (RECIPE | {"max_steps": num_steps}).items()]
    return subprocess.Popen(
        [checkout / ".venv" / "bin" / "python", HERE / "tests" / "bench" / "step_worker.py", world, *keys],
        cwd=checkout,
        env=os.environ | WAITING,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def seconds_of_step(worker):
    """Make a worker train one step."""
    worker.stdin.write("\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def rollouts_of(world):
    """Return what was sampled and how it was rewarded."""
    (path,) = world.rglob("rollouts.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["step"], row["id"], row["response"], row["reward"]) for row in rows]


def compared(other, num_steps):
    """Return the lines of the table."""
    with tempfile.TemporaryDirectory(prefix="tritrace-commits-") as name:
        worlds = [Path(name) / "before", Path(name) / "now"]
        write_world(worlds[0])
        shutil.copytree(*worlds)
        workers = [start(*each, num_steps) for each in zip((other, HERE), worlds, strict=True)]
        steps = [[seconds_of_step(worker) for worker in workers] for _ in range(num_steps)][1:]
        for worker in workers:
            worker.communicate()
        before, now = (rollouts_of(world) for world in worlds)
    num_equal = sum(one == two for one, two in zip(before, now, strict=True))
    lines = ["| part | before | now |", "| --- | ---: | ---: |"]
    for part in sorted(steps[0][0], key=lambda part: -steps[0][0][part]):
        means = (statistics.mean(step[place].get(part, 0.0) for step in steps) for place in (0, 1))
        lines.append("| " + " | ".join([part, *(f"{mean:.2f}" for mean in means)]) + " |")
    ratios = sorted(one["a step"] / two["a step"] for one, two in steps)
    lines.append(
        f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}] times as fast, {len(steps)} turns"
    )
    lines.append(f"{num_equal} of {len(before)} rollouts are equal")
    return lines


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--steps", type=int, default=6, help="including the first, which is not counted")
    options = parser.parse_args()
    sys.stdout.write("\n".join(compared(options.checkout.resolve(), options.steps)) + "\n")


if __name__ == "__main__":
    main()
