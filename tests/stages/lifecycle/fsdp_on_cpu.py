"""Runs `tritrace` with FSDP2 on CPUs, over gloo; accelerate itself supports FSDP only on accelerators.

    torchrun --standalone --nproc_per_node 2 -m tests.stages.lifecycle.fsdp_on_cpu '[["sft", "--config", "sft.yaml"]]'

The argument is a list of commands in JSON, which are run in order; a number before a command's words interrupts it
after that step, as Ctrl-C would. GRPO is paid for length, which a model with random weights can vary. The processes
pretend to have an accelerator, the device "cpu"; everything else is the code of accelerate, TRL and this project.
"""

import contextlib
import json
import sys

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from stages import grpo
from stages.__main__ import app
from stages.arguments.stage import parse_stage
from stages.progress import ProgressCallback
from tests.stages.conftest import longer_reward

_start = PartialState.__init__
_on_step_end = ProgressCallback.on_step_end


def _start_as_accelerators(self, *args, **options):
    _start(self, *args, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_HPU


def _run(command):
    if command[0] == "grpo":
        grpo.run(*parse_stage("grpo", command[1:]), reward=longer_reward)
    else:
        app(command, standalone_mode=False)


def _run_to(step, command):
    """Run a command until a step is over."""

    def on_step_end(self, args, state, control, **more):
        _on_step_end(self, args, state, control, **more)
        if state.global_step == step:
            raise KeyboardInterrupt

    ProgressCallback.on_step_end = on_step_end
    with contextlib.suppress(SystemExit):
        _run(command)
    ProgressCallback.on_step_end = _on_step_end


if __name__ == "__main__":
    PartialState.__init__ = _start_as_accelerators
    for words in json.loads(sys.argv[1]):
        if isinstance(words[0], int):
            _run_to(words[0], words[1:])
        else:
            _run(words)
    if AcceleratorState().distributed_type == DistributedType.FSDP:
        print("sharded by FSDP")  # noqa: T201
