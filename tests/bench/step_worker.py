"""Trains GRPO of one checkout, a step for each line of its input; `tests/bench/commits.py` starts it.

It imports the benchmark of the checkout in which it is started, so it depends on no other module of this repository.
For each step it prints the seconds of its processor as JSON: the whole step, and its parts.
"""

import importlib
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

SCORING = "_get_per_token_logps_and_entropies"
PARTS = {"_generate_single_turn": "sampling", "_calculate_rewards": "rewards", "_compute_loss": "loss, forward"}


class Clock:
    """Adds up processor seconds by part; a part inside another one belongs to the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.is_running = False

    def time(self, owner: Any, name: str, part: str) -> None:
        """Time a method of an object."""
        method = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            if self.is_running:
                return method(*args, **options)
            self.is_running, began = True, time.process_time()
            try:
                return method(*args, **options)
            finally:
                self.is_running = False
                self.seconds[part] += time.process_time() - began

        setattr(owner, name, timed)


class OnRequest(TrainerCallback):
    """Waits for a line before each step, and prints its times after it."""

    def __init__(self, clock: Clock, answers: Any) -> None:
        self.clock, self.answers, self.began = clock, answers, 0.0

    def wait(self) -> None:
        if not sys.stdin.readline():
            raise SystemExit
        self.clock.seconds.clear()
        self.began = time.process_time()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.wait()

    def on_step_end(self, _args: Any, state: Any, _control: Any, **__: Any) -> None:
        whole = time.process_time() - self.began
        parts = dict(self.clock.seconds)
        found = {"a step": whole, **parts, "the rest": whole - sum(parts.values())}
        print(json.dumps(found), file=self.answers, flush=True)
        if state.global_step < state.max_steps:
            self.wait()


def benchmark_of(checkout: Path) -> Any:
    """Import the benchmark of steps; it has moved between commits."""
    sys.path.insert(0, str(checkout))
    (path,) = (checkout / "tests" / "bench").rglob("test_step_bench.py")
    return importlib.import_module(".".join(path.relative_to(checkout).with_suffix("").parts))


def main() -> None:
    """Train in the current folder's checkout: WORLD, then recipe keys as `key=value`."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print to the latter
    world = Path(sys.argv[1])
    options = dict(each.split("=", 1) for each in sys.argv[2:])
    torch.set_num_threads(1)
    bench = benchmark_of(Path.cwd())
    bench.store.LOCAL_ROOT = world / "tracking"
    with bench.quiet_libraries(), bench.tracked("bench", {}) as run:
        trainer = bench.trainer_of("grpo", bench.VARIANTS["grpo"][-1], world, options, run)
        clock = Clock()
        for name, part in PARTS.items():
            clock.time(trainer, name, part)
        clock.time(trainer, SCORING, "log-probabilities of the reference")
        clock.time(trainer.accelerator, "backward", "loss, backward")
        trainer.add_callback(OnRequest(clock, answers))
        trainer.train()


if __name__ == "__main__":
    main()
