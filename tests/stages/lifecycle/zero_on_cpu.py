"""Runs `tritrace` with DeepSpeed on CPUs, over gloo.

    DS_ACCELERATOR=cpu torchrun --standalone --nproc_per_node 2 -m tests.stages.lifecycle.zero_on_cpu '[["sft", ...]]'

The argument is a list of commands in JSON, which are run in order.
"""

import json
import sys

from stages.__main__ import app

if __name__ == "__main__":
    for words in json.loads(sys.argv[1]):
        app(words, standalone_mode=False)
