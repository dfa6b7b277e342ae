"""Runs `tritrace` with FSDP2 on CPUs, over gloo; accelerate itself supports FSDP only on accelerators.

    torchrun --standalone --nproc_per_node 2 -m tests.stages.lifecycle.fsdp_on_cpu '[["sft", "--config", "sft.yaml"]]'

The argument is a list of commands in JSON, which are run in order. The processes pretend to have an accelerator, the
device "cpu"; everything else is the code of accelerate, TRL and this project.
"""

import json
import sys

from accelerate.state import PartialState
from accelerate.utils import DistributedType

from stages.__main__ import app

_start = PartialState.__init__


def _start_as_accelerators(self, *args, **options):
    _start(self, *args, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_HPU


if __name__ == "__main__":
    PartialState.__init__ = _start_as_accelerators
    for command in json.loads(sys.argv[1]):
        app(command, standalone_mode=False)
