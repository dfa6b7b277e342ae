"""Runs lm-evaluation-harness and VLMEvalKit on a checkpoint, in separate processes.

Both are large and pin versions of other packages, so neither is a dependency: `--python` names an interpreter with the
harness. Their results stay in their own format in `FOLDER/harness/`, where the report finds them
(`eval/harness/reading.py`).
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files.json_lines import read_json, replacing
from eval.harness.reading import FOLDER, read_results
from eval.harness.scores import BenchmarkScore
from stages.errors import StageError
from toolkit.secrets import redacted_values

COMMAND = "command.json"
"""File beside the results with the command; the same command on the same checkpoint is not run again."""


@dataclass(frozen=True, slots=True)
class HarnessJob:
    """A harness's command line."""

    command: tuple[str, ...]
    folder: Path
    """Folder for its results."""
    checkpoint: str
    """Identifies the weights: the manifest's digest, or the model's name."""
    working_directory: Path | None = None


def lm_eval_job(
    checkpoint: Path, tasks: Sequence[str], output: Path, *, python: str, backend: str = "hf", more: Sequence[str] = ()
) -> HarnessJob:
    """Return the job that runs lm-eval on a checkpoint.

    Args:
        checkpoint: an exported model's folder, or a stage's folder; its adapter is then passed with the base.
        tasks: names of the tasks in the harness.
        output: folder for `harness/lm-eval`.
        python: an interpreter with lm_eval.
        backend: the harness's model class; "hf-multimodal" for pictures.
        more: further arguments of lm_eval, such as --limit 100.

    Raises:
        StageError: there is neither a model nor a stage, or no task.
    """
    model, adapter, digest = _checkpoint(checkpoint, tasks)
    folder = (output / FOLDER / "lm-eval").resolve()
    arguments = {"pretrained": model} | ({"peft": adapter} if adapter else {})
    command = (
        *(python, "-m", "lm_eval", "--model", backend),
        *("--model_args", ",".join(f"{name}={value}" for name, value in arguments.items())),
        *("--tasks", ",".join(tasks)),
        *("--output_path", str(folder)),
        # A stopped run continues after its last answer.
        *("--use_cache", str(folder / "cache" / "answers")),
        *more,
    )
    return HarnessJob(command, folder, digest)


def vlmeval_job(
    checkpoint: Path,
    tasks: Sequence[str],
    output: Path,
    *,
    python: str,
    home: Path,
    model_class: str = "Qwen2VLChat",
    more: Sequence[str] = (),
) -> HarnessJob:
    """Return the job that runs VLMEvalKit on a checkpoint; writes its configuration file.

    Args:
        checkpoint: folder of an exported, merged model; VLMEvalKit does not support adapters.
        tasks: `DATASET=CLASS`, in VLMEvalKit's names, such as MMBench_DEV_EN=ImageMCQDataset.
        output: folder for `harness/vlmeval`.
        python: an interpreter with vlmeval.
        home: the clone of VLMEvalKit, with its run.py.
        model_class: VLMEvalKit's class for such models.
        more: further arguments of run.py.

    Raises:
        StageError: the checkpoint is not merged, a task names no class, or there is no run.py.
    """
    model, adapter, digest = _checkpoint(checkpoint, tasks)
    problems = [f"task {task!r}: expected DATASET=CLASS, such as MMBench_DEV_EN=ImageMCQDataset" for task in tasks
                if "=" not in task]  # fmt: skip
    if adapter:
        problems.append(f"{checkpoint}: VLMEvalKit takes no adapters; give the merged model of tritrace export")
    if not (home / "run.py").is_file():
        problems.append(f"{home}: no run.py there; give the folder of VLMEvalKit's clone")
    if problems:
        raise StageError(problems)
    folder = (output / FOLDER / "vlmeval").resolve()
    named = [task.split("=", 1) for task in tasks]
    config = {
        "model": {checkpoint.resolve().name: {"class": model_class, "model_path": model}},
        "data": {dataset: {"class": kind, "dataset": dataset} for dataset, kind in named},
    }
    _write(folder / "config.json", config)
    # --reuse: a stopped run continues after its last answer.
    command = (python, "run.py", "--config", str(folder / "config.json"), "--work-dir", str(folder), "--reuse", *more)
    return HarnessJob(command, folder, digest, home)


def run_job(job: HarnessJob) -> list[BenchmarkScore]:
    """Run a harness, pass its output on, and return its results; if the same command ran before, only read the results.

    Raises:
        StageError: it cannot be started, fails, or writes no result.
        HarnessResultError: its results cannot be read.
    """
    told = redacted_values({"command": list(job.command), "checkpoint": job.checkpoint})
    if read_json(job.folder / COMMAND) == told and (scores := read_results(job.folder)):
        return scores
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / COMMAND).unlink(missing_ok=True)
    try:
        # The user chose this command; it is run without a shell.
        code = subprocess.run(job.command, cwd=job.working_directory, check=False).returncode  # noqa: S603
    except OSError as error:
        raise StageError(f"{job.command[0]}: cannot be started: {error.strerror or error}") from None
    if code:
        raise StageError(f"the harness ended with exit code {code}; its output is above, the command: {_shown(job)}")
    scores = read_results(job.folder)
    if not scores:
        raise StageError(f"{job.folder}: the harness succeeded but wrote no result; the command: {_shown(job)}")
    _write(job.folder / COMMAND, told)
    return scores


def default_python() -> str:
    """Return this interpreter, for harnesses in the same environment."""
    return sys.executable


def _checkpoint(path: Path, tasks: Sequence[str]) -> tuple[str, str | None, str]:
    """Return the base or merged model, the adapter or None, and the identity of the weights."""
    if not tasks:
        raise StageError("tasks: give at least one, by the harness's own name")
    if (path / "manifest.json").is_file() and (path / "adapter").is_dir():
        from stages.provenance.trust import check_stage  # imports torch, which is not needed for a merged model

        manifest = check_stage(path)  # the harness itself checks nothing
        return str(manifest.model), str((path / "adapter").resolve()), manifest.digest
    if not (path / "config.json").is_file():
        raise StageError(f"{path}: neither a model's folder (config.json) nor a stage's (manifest.json and adapter/)")
    weights = sorted(path.glob("*.safetensors"))
    sizes = " ".join(f"{each.name}:{each.stat().st_size}:{each.stat().st_mtime_ns}" for each in weights)
    return str(path.resolve()), None, f"{path.resolve()} {sizes}"


def _shown(job: HarnessJob) -> str:
    return subprocess.list2cmdline(job.command)


def _write(path: Path, record: Mapping[str, Any]) -> None:
    with replacing(path) as file:
        json.dump(record, file, indent=1)
