"""Checks that the loss can be compiled on a GPU: TRL's loss uses Triton, which compiles C code at its first call."""

import os
import shutil
import sysconfig
from pathlib import Path

import torch
from transformers.utils import is_triton_available

from stages.preflight.findings import Finding, Section


def toolchain_sections() -> list[Section]:
    """Return the tools that Triton needs and does not find; nothing without a GPU or without Triton.

    It uses `$CC`, else gcc or clang, and Python's headers (triton/runtime/build.py, 3.x). If one is missing, a run
    fails in its first step, after loading the model.
    """
    if not (torch.cuda.is_available() and is_triton_available()):
        return []
    return [Section("toolchain", (_compiler(), _headers()))]


def _compiler() -> Finding:
    named = os.environ.get("CC")
    found = shutil.which(named) if named else shutil.which("gcc") or shutil.which("clang")
    if found:
        return Finding("ok", "C compiler", found)
    missing = f"$CC is {named}, which cannot be run" if named else "neither gcc nor clang is installed"
    advice = "install one (apt install gcc), or name it in $CC; TRL's loss compiles its kernels when training starts"
    return Finding("fails", "C compiler", missing, advice)


def _headers() -> Finding:
    path = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if path.is_file():
        return Finding("ok", "Python.h", str(path))
    advice = (
        "install Python's headers (apt install python3-dev, or a Python from python.org, pyenv or uv, which has them)"
    )
    return Finding("fails", "Python.h", f"{path} does not exist", advice)
