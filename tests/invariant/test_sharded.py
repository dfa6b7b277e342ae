"""A model that FSDP2 shards over two processes gives the same adapter as one process, and exports it completely."""

import json
import os
import subprocess
import sys

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

from eval.models.adapters import adapter_hash
from stages import dpo, sft
from stages.provenance.manifest import read_manifest
from tests.conftest import REPOSITORY
from tests.invariant.test_trajectories import PARTS, STEPS, adapter, assert_same_trajectory, losses
from tests.processes import run_ranks
from tests.stages.conftest import shared_store, short_flags

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


def run_sharded(commands):
    """Run commands in turn in two processes, each with half of the weights."""
    words = ["-m", "tests.stages.lifecycle.fsdp_on_cpu", json.dumps(commands)]
    done = run_ranks(words, env=shipped_environment() | shared_store())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sharded by FSDP") == 2
    return done.stdout


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
    run_sharded(commands)
    for stage in ("sft", "dpo"):
        assert_same_trajectory(whole / stage, sharded / stage, num_steps=3)
        assert adapter(sharded / stage).shape == adapter(whole / stage).shape
        assert read_manifest(sharded / stage / "manifest.json").adapter == adapter_hash(sharded / stage)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_sharded_stage_is_resumed_to_the_same_adapter(stage, parse, parent, tmp_path, tiny_model_path):
    """SFT is interrupted in the middle of the second epoch, whose rows both processes have to find again."""
    del parse
    paths = {"model": tiny_model_path, "data": tmp_path / "data" / f"{stage}.jsonl"}
    options = STEPS | {"max_steps": 6, "save_steps": 2, "per_device_train_batch_size": 2}
    if stage == "grpo":
        more = {"parent": parent, "num_generations": 2, "per_device_train_batch_size": 4, "steps_per_generation": 1}
        options |= more | {"max_steps": 4, "save_steps": 1, "beta": 0.02}
    whole = [stage, *short_flags(stage, **paths, **options, output=tmp_path / "whole")]
    broken = [stage, *short_flags(stage, **paths, **options, output=tmp_path / "broken")]
    stop = options["max_steps"] - 1
    said = run_sharded([whole, [stop, *broken], broken])
    assert f"resumes from step {stop - 1}" in said
    assert adapter_hash(tmp_path / "broken") == adapter_hash(tmp_path / "whole")
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    if stage == "grpo":
        assert not torch.equal(adapter(parent), adapter(tmp_path / "broken"))
        one, other = ((tmp_path / name / "rollouts.jsonl").read_text() for name in ("whole", "broken"))
        assert one == other
        assert one


@pytest.mark.slow
def test_the_shipped_file_of_several_gpus_starts_a_stage_in_two_processes(parse, tmp_path, tiny_model_path):
    """`accelerate launch` with the file as it is, on a machine without GPUs: the processes talk over gloo."""
    options = STEPS | {"max_steps": 2, "max_rows": 8}
    one = sft.run(*parse("sft", output=tmp_path / "one", **options, **PARTS))
    paths = {"model": tiny_model_path, "data": tmp_path / "data" / "sft.jsonl", "output": tmp_path / "two"}
    flags = short_flags("sft", **paths, **options, per_device_train_batch_size=4)
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    launcher += ["--config_file", str(SHIPPED.with_name("multi_gpu.yaml")), "--mixed_precision", "no"]
    launcher += ["--num_processes", "2", "--main_process_port", "0"]
    command = [*launcher, "-m", "stages", "sft", *flags]
    done = subprocess.run(command, env=os.environ | shared_store(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert_same_trajectory(one, tmp_path / "two", num_steps=2)
