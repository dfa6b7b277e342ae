"""Kills stages at random moments, restarts them until they finish, and compares with an uninterrupted run.

    python -m tests.stages.lifecycle.kills --kills 20 --stage sft

Each stage trains the tiny model in separate processes, which are ended with SIGKILL while they load, train, write a
checkpoint (at every step) or export. A run is restarted until it finishes; then another run begins, until there were
enough kills. Exits 1 if a result differs from the uninterrupted run. The processes are forked from a server that has
imported the libraries (`tests/processes.py`), so that a restart takes a second.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests import processes
from tests.stages.conftest import longer_reward, short_flags, write_tiny_model, write_tiny_rows

STAGES = ("sft", "dpo", "grpo")
NUM_STEPS = 12
MAX_STARTS = 200
"""Maximum number of restarts of a run; a run that makes no progress does not resume."""


@dataclass(slots=True)
class Outcome:
    """The result of a kill test of one stage."""

    stage: str
    num_kills: int = 0
    num_runs: int = 0
    num_equal: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    """Activity of the killed processes, inferred from their files -> number of kills."""

    def describe(self) -> str:
        """Return the outcome as a line."""
        moments = ", ".join(f"{moment} {count}" for moment, count in self.moments.most_common())
        return f"{self.stage}: {self.num_kills} kills ({moments}); {self.num_equal} of {self.num_runs} runs ended equal"


def train(stage, flags, log):
    """Run a stage like `tritrace`; GRPO's reward is the length, which a model with random weights can vary."""
    import torch

    from stages import dpo, grpo, sft
    from stages.arguments.stage import parse_stage

    sys.stdout = sys.stderr = Path(log).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115 - until the process ends
    torch.set_num_threads(1)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path(log).parent / 'mlflow.db'}"
    arguments = parse_stage(stage, flags)
    if stage == "grpo":
        grpo.run(*arguments, reward=longer_reward)
    else:
        {"sft": sft, "dpo": dpo}[stage].run(*arguments)


def kill_stage(stage, num_kills, folder, seed=0, num_steps=NUM_STEPS):
    """Kill a stage a number of times, and return the outcome."""
    context = processes.context()
    model, data = write_tiny_model(folder / "model"), write_tiny_rows(folder / "data")
    draw = random.Random(seed)

    def start(name, output, parent=None):
        options = {"model": model, "data": data / f"{name}.jsonl", "output": output, "parent": parent}
        steps = {"max_steps": num_steps if name == stage else 2, "save_steps": 1}
        flags = short_flags(name, **options, **steps, preflight="false")
        process = context.Process(target=train, args=(name, flags, folder / "log.txt"))
        process.start()
        return process

    parent = None
    if stage != "sft":
        parent = folder / "parent"
        _finish(start("sft", parent), folder)
    _finish(start(stage, folder / "warm", parent), folder)  # the first process pays for caches
    began = time.monotonic()
    _finish(start(stage, folder / "whole", parent), folder)
    seconds = time.monotonic() - began
    outcome, output = Outcome(stage), folder / "killed"
    while outcome.num_kills < num_kills:
        shutil.rmtree(output, ignore_errors=True)
        for _ in range(MAX_STARTS):
            process = start(stage, output, parent)
            process.join(draw.uniform(0, 1.1 * seconds) if outcome.num_kills < num_kills else None)
            if process.exitcode is not None:
                _finish(process, folder)
                break
            process.kill()
            process.join()
            outcome.num_kills += 1
            outcome.moments[_moment(output)] += 1
            print(f"{stage}: kill {outcome.num_kills} of {num_kills}: {_moment(output)}", flush=True)  # noqa: T201
        outcome.num_runs += 1
        outcome.num_equal += _result(output, stage) == _result(folder / "whole", stage)
    return outcome


def _finish(process, folder):
    process.join()
    if process.exitcode != 0:
        log = (folder / "log.txt").read_text(encoding="utf-8")
        raise SystemExit(f"a stage ended with {process.exitcode}; the end of its log:\n{log[-3000:]}")


def _moment(output):
    """Return the activity of a process when it was killed."""
    from stages.lifecycle.resuming import checkpoints, damage

    if (output / "manifest.json").is_file():
        return "after the manifest"
    if (output / ".adapter").exists() or (output / "adapter").exists():
        return "exporting"
    found = checkpoints(output)
    if any(damage(checkpoint) for checkpoint in found):
        return "writing a checkpoint"
    return "training" if found else "before the first checkpoint"


def _result(output, stage):
    """Return the values that must be equal: the adapter, and for GRPO every rollout with its reward."""
    adapter = (output / "adapter" / "adapter_model.safetensors").read_bytes()
    return adapter, (output / "rollouts.jsonl").read_text(encoding="utf-8") if stage == "grpo" else None


def main():
    """Run the requested kill tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each stage")
    parser.add_argument("--stage", choices=STAGES, action="append", help="may be repeated; all three by default")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    outcomes = []
    for stage in options.stage or STAGES:
        with tempfile.TemporaryDirectory(prefix="tritrace-kills-") as folder:
            outcomes.append(kill_stage(stage, options.kills, Path(folder), options.seed))
    for outcome in outcomes:
        print(outcome.describe())  # noqa: T201
    sys.exit(any(outcome.num_equal < outcome.num_runs for outcome in outcomes))


if __name__ == "__main__":
    main()
