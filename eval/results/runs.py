"""Finds the evaluations of a run: from a user's path to the samples of each stage and seed.

A path is a run (`RUN/seed-0/sft/eval/samples.jsonl`), a seed of it, a stage, the output of `tritrace eval`, or a
`samples.jsonl` itself; `RUN:sft` keeps one stage. Nothing here needs torch.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from data.files.json_lines import RowsError
from eval.results.metrics import Seeds
from eval.results.samples import read_samples

SAMPLES = "samples.jsonl"
_ORDER = ("base", "sft", "dpo", "grpo")


def evaluations(path: Path) -> dict[str, list[Path]]:
    """Return the sample files below a path by stage: one file for each seed, in the order of the curriculum.

    Raises:
        RowsError: there are no samples; the message says where this function looked.
    """
    if path.is_file():
        return {_stage_of(path): [path]}
    beside = {path.name or "samples": [path / SAMPLES], "constrained": [path / "constrained" / SAMPLES]}
    found = {name: files for name, files in beside.items() if files[0].is_file()}
    if found:
        return {_stage_of(files[0]): files for files in found.values()} if len(found) == 1 else found
    for pattern in ("eval", "*/eval", "seed-*/*/eval"):
        found_here = (each for each in path.glob(f"{pattern}/{SAMPLES}") if not is_set_aside(each.parent.parent))
        if files := sorted(found_here, key=_seed_order):
            return _by_stage(files)
    looked = ", ".join(f"{pattern}/{SAMPLES}" for pattern in (".", "eval", "STAGE/eval", "seed-N/STAGE/eval"))
    raise RowsError(
        f"{path}: no evaluation found (looked for {looked}); tritrace curriculum or tritrace eval writes one"
    )


def is_set_aside(stage: Path) -> bool:
    """Whether a folder holds an earlier result of another recipe, such as `sft.1`."""
    return re.fullmatch(r".+\.\d+", stage.name) is not None


def read_run(specification: str) -> dict[str, Seeds]:
    """Read the samples of a path, or of one stage of it (`RUN:sft`).

    Raises:
        RowsError: there are no samples, a file cannot be read, or the stage does not exist; the message names the
            stages.
    """
    path, stage = Path(specification), ""
    if not path.exists() and ":" in specification:
        name, _, stage = specification.rpartition(":")
        path = Path(name)
    files = evaluations(path)
    if stage and stage not in files:
        raise RowsError(f"{path}: there is no stage {stage!r}; evaluated are {', '.join(files)}")
    return read_stages({stage: files[stage]} if stage else files)


def read_stages(files: Mapping[str, Iterable[Path]]) -> dict[str, Seeds]:
    """Read the samples of each stage: one sequence for each seed."""
    return {stage: [read_samples(path) for path in paths] for stage, paths in files.items()}


def _by_stage(files: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(_stage_of(file), []).append(file)
    return {stage: found[stage] for stage in sorted(found, key=stage_order)}


def _stage_of(file: Path) -> str:
    folder = file.resolve().parent
    return folder.parent.name if folder.name == "eval" else folder.name


def stage_order(stage: str) -> tuple[int, str]:
    """Return a sort key for stages: the curriculum's stages in their order, then others by name."""
    return (_ORDER.index(stage) if stage in _ORDER else len(_ORDER), stage)


def _seed_order(file: Path) -> tuple[int, str]:
    """Sort seed-2 before seed-10."""
    numbers = [part.removeprefix("seed-") for part in file.parts if part.startswith("seed-")]
    return (int(numbers[-1]) if numbers and numbers[-1].isdecimal() else 0, str(file))
