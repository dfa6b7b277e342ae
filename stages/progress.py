"""Prints the progress of a stage: a bar on a terminal, plain lines elsewhere."""

import os
import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from toolkit.pace import Pace
from toolkit.secrets import redacted

_SHOWN = {
    "loss": "loss",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "reward": "reward",
    "kl": "kl",
    "completions/mean_length": "tokens",
}


def say(line: str) -> None:
    """Print a line at once, above a progress bar if there is one; of several processes, only the first one prints."""
    if os.environ.get("RANK", "0") != "0":
        return
    tqdm.write(redacted(line), file=sys.stdout)
    sys.stdout.flush()


class ProgressCallback(TrainerCallback):
    """Shows the progress and the most important numbers; all others are only tracked (`stages/tracking/run.py`)."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.bar: Any = None
        self.pace = Pace()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        del args, control
        self.pace = Pace(state.global_step)
        if sys.stderr.isatty():
            self.bar = tqdm(desc=self.stage, total=state.max_steps, initial=state.global_step, unit="step")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        del args, control
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """Show the numbers of a logging step."""
        del args, control
        numbers = {name: logs[key] for key, name in _SHOWN.items() if logs and isinstance(logs.get(key), float)}
        if not numbers:
            return
        if self.bar is not None:
            self.bar.set_postfix({name: f"{value:.3g}" for name, value in numbers.items()})
            return
        shown = "  ".join(f"{name} {value:.3g}" for name, value in numbers.items())
        left = self.pace.words(state.global_step, state.max_steps)
        say(f"{self.stage}: step {state.global_step}/{state.max_steps}  {shown}  {left}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        del args, state, control
        if self.bar is not None:
            self.bar.close()
