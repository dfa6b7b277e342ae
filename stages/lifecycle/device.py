"""Checks that a stage trains on the device that its recipe is made for."""

import shutil
import subprocess

import torch

from stages.arguments.stage import StageArguments, TRLConfig
from stages.errors import StageError


def check_device(stage: str, arguments: StageArguments, config: TRLConfig) -> None:
    """Check that PyTorch finds a GPU if the recipe names a card: on a CPU it would train for months without a message.

    Raises:
        StageError: PyTorch finds no GPU, and `use_cpu` is not set.
    """
    wants_cpu = config.use_cpu and "use_cpu" in arguments.origins
    if arguments.card_gib is None or wants_cpu or torch.cuda.is_available():
        return
    raise StageError(
        f"{stage}: card_gib: the recipe is made for a card of {arguments.card_gib:g} GiB, and PyTorch finds none: "
        f"{_reason()} (PyTorch {torch.__version__}, built for CUDA {torch.version.cuda or 'none'}; "
        f"driver {_driver()}); fix that, or train on the CPU with --use_cpu true"
    )


def _reason() -> str:
    """Return PyTorch's error message, without its advice."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).split(". ")[0].rstrip(".")
    return "CUDA has no device"


def _driver() -> str:
    """Return the version of NVIDIA's driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return "not installed"
    query = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown: nvidia-smi: {error}"
    lines = (done.stdout or done.stderr).strip().splitlines() or ["nvidia-smi says nothing"]
    return lines[0] if done.returncode == 0 else f"unknown: nvidia-smi: {lines[0]}"
