"""A model that FSDP2 shards over two processes gives the same adapter as one process, and exports it completely."""

import json
import os
import subprocess
import sys

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

from eval.models.adapters import adapter_hash
from stages import dpo, sft
from stages.provenance.manifest import read_manifest
from tests.conftest import REPOSITORY
from tests.invariant.test_trajectories import PARTS, STEPS, adapter, assert_same_trajectory
from tests.stages.conftest import short_flags

SHIPPED = REPOSITORY / "stages" / "recipes" / "accelerate" / "fsdp2.yaml"


def shipped_environment():
    """Return the variables that `accelerate launch` sets for the shipped file, with a dtype for CPUs."""
    flags = ["--config_file", str(SHIPPED), "--mixed_precision", "no", "-m", "stages"]
    arguments, *_ = _validate_launch_command(launch_command_parser().parse_args(flags))
    return {name: value for name, value in prepare_multi_gpu_env(arguments).items() if "FSDP" in name}


def test_the_shipped_file_asks_for_fsdp2_with_its_own_checkpointing():
    variables = shipped_environment()
    assert (variables["ACCELERATE_USE_FSDP"], variables["FSDP_VERSION"]) == ("true", "2")
    assert variables["FSDP_ACTIVATION_CHECKPOINTING"] == "true"
    assert variables["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "true"


@pytest.mark.slow
def test_two_shards_are_one_process(parse, tmp_path, tiny_model_path):
    """SFT, then DPO from SFT's export: reference, comparison and export use whole tensors."""
    options = STEPS | {"max_steps": 3, "save_steps": 2, "max_rows": 8}
    whole, sharded, commands = tmp_path / "whole", tmp_path / "sharded", []
    for stage in ("sft", "dpo"):
        more = {} if stage == "sft" else {"parent": whole / "sft"}
        {"sft": sft.run, "dpo": dpo.run}[stage](*parse(stage, output=whole / stage, **options, **PARTS, **more))
        paths = {"model": tiny_model_path, "data": tmp_path / "data" / f"{stage}.jsonl", "output": sharded / stage}
        paths |= {} if stage == "sft" else {"parent": sharded / "sft"}
        flags = short_flags(stage, **paths, **options, per_device_train_batch_size=4)
        commands.append([stage, *flags])
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, "-m", "tests.stages.lifecycle.fsdp_on_cpu", json.dumps(commands)],
        env=os.environ | shipped_environment() | store,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for stage in ("sft", "dpo"):
        assert_same_trajectory(whole / stage, sharded / stage, num_steps=3)
        assert adapter(sharded / stage).shape == adapter(whole / stage).shape
        assert read_manifest(sharded / stage / "manifest.json").adapter == adapter_hash(sharded / stage)
