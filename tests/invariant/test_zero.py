"""DeepSpeed's ZeRO-3 over two processes gives the same adapter as one process, and exports it completely.

Needs `pip install deepspeed`, which is not among the dependencies; the tests are skipped without it.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_deepspeed_cmd_env

from eval.models.adapters import adapter_hash
from stages import sft
from stages.provenance.manifest import read_manifest
from tests.conftest import REPOSITORY
from tests.invariant.test_trajectories import PARTS, STEPS, adapter, assert_same_trajectory
from tests.stages.conftest import short_flags

SHIPPED = REPOSITORY / "stages" / "recipes" / "accelerate" / "zero3.yaml"


def shipped_environment():
    """Return the variables that `accelerate launch` sets for the shipped file, with a dtype for CPUs."""
    flags = ["--config_file", str(SHIPPED), "--mixed_precision", "no", "--main_process_port", "0", "-m", "stages"]
    arguments, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(flags))
    arguments.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
    _, variables = prepare_deepspeed_cmd_env(arguments)
    return {name: value for name, value in variables.items() if name.startswith("ACCELERATE_")}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
def test_zero_3_in_two_processes_is_one_process(parse, tmp_path, tiny_model_path):
    options = STEPS | {"max_steps": 3, "max_rows": 8}
    one = sft.run(*parse("sft", output=tmp_path / "one", **options, **PARTS))
    paths = {"model": tiny_model_path, "data": tmp_path / "data" / "sft.jsonl", "output": tmp_path / "two"}
    command = ["sft", *short_flags("sft", **paths, **options, per_device_train_batch_size=4)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, "-m", "tests.stages.lifecycle.zero_on_cpu", json.dumps([command])],
        env=os.environ | shipped_environment() | store | {"DS_ACCELERATOR": "cpu"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert_same_trajectory(one, tmp_path / "two", num_steps=3)
    assert adapter(tmp_path / "two").shape == adapter(one).shape
    assert read_manifest(tmp_path / "two" / "manifest.json").adapter == adapter_hash(tmp_path / "two")
