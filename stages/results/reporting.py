"""Writes the report of a run from its files: after the last stage, or later on request.

It reads samples, manifests and rollouts, and needs no torch and no model.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import typer
from rich.console import Console

from data.files.json_lines import RowsError, read_json_object, replacing
from eval.harness.reading import FOLDER, read_results
from eval.harness.scores import BenchmarkScore, benchmark_rows
from eval.harness.table import benchmarks_to_markdown
from eval.report import write_report
from eval.results.metrics import Seeds
from eval.results.runs import is_set_aside, read_run, stage_order
from eval.results.summary import summarize
from eval.results.table import terminal_table, to_markdown
from stages.provenance.manifest_fields import manifest_problems
from stages.rollouts.record.files import read_rollouts

MAX_SAMPLES = 1000
"""Maximum number of prompts that a report shows; its numbers cover all prompts."""


def report_run(
    root: Path,
    samples: Mapping[str, Seeds],
    *,
    images_root: Path,
    recipe: Mapping[str, Any],
    max_samples: int = MAX_SAMPLES,
) -> Path:
    """Write `report.html`, `report.json` and `table.md` of a run, print the table, and return the report's path."""
    manifests = {
        str(path.parent.relative_to(root)): _read_manifest(path)
        for path in sorted(root.glob("seed-*/*/manifest.json"))
        if not is_set_aside(path.parent)
    }
    stages = {name: _stage_facts(manifest) for name, manifest in manifests.items()}
    versions = next(iter(manifests.values())).get("versions", {}) if manifests else {}
    meta = {"recipe": dict(recipe), "versions": dict(versions), "stages": stages, "rollouts": rollout_means(root)}
    benchmarks = benchmark_rows(harness_scores(root))
    write_report(
        root, samples, images_root=images_root, meta=meta, max_samples=max_samples, benchmarks=benchmarks
    )  # fmt: skip
    estimates_by_stage = {stage: summarize(seeds).estimates for stage, seeds in samples.items()}
    with replacing(root / "table.md") as file:
        file.write(to_markdown(estimates_by_stage))
        if benchmarks:
            file.write("\n" + benchmarks_to_markdown(benchmarks, list(samples)))
    console = Console()
    console.print(terminal_table(estimates_by_stage, width=console.width))
    return root / "report.html"


def rebuild_report(root: Path, *, images_root: Path | None = None, max_samples: int = MAX_SAMPLES) -> Path:
    """Write the report of a run again.

    Args:
        root: the folder of a run, of one of its seeds, or of one evaluation.
        images_root: folder of the evaluated prompts; by default the one in the run's recipe.
        max_samples: maximum number of prompts to show.

    Raises:
        RowsError: there is no evaluation below `root`, or one cannot be read.
    """
    samples = read_run(str(root))
    recipe = _known_recipe(root)
    # The data of a run is beside its seeds.
    candidates = [
        images_root,
        Path(recipe["data"]) if recipe.get("data") else None,
        root / "data",
        root.parent / "data",
    ]
    images = next((folder for folder in candidates if folder is not None and folder.is_dir()), root)
    return report_run(root, samples, images_root=images, recipe=recipe, max_samples=max_samples)


def harness_scores(root: Path) -> dict[str, list[list[BenchmarkScore]]]:
    """Return stage -> results of other harnesses, one list for each seed; {} if there are none.

    Raises:
        HarnessResultError: a result file does not have its harness's schema.
    """
    found: dict[str, list[list[BenchmarkScore]]] = {}
    for pattern in ("seed-*/*", "*", "."):
        for folder in sorted(root.glob(f"{pattern}/{FOLDER}") if pattern != "." else [root / FOLDER]):
            if scores := read_results(folder) if folder.is_dir() else []:
                found.setdefault(folder.resolve().parent.name, []).append(scores)
        if found:
            break
    return {stage: found[stage] for stage in sorted(found, key=stage_order)}


def rollout_means(root: Path) -> list[dict[str, Any]]:
    """Return the mean reward, its components and the mean length of each GRPO step, over all seeds."""
    rollouts_by_step: dict[int, list[dict[str, Any]]] = defaultdict(list)
    num_left_out = 0
    for folder in [*root.glob("seed-*/grpo"), *root.glob("grpo")]:
        for rollout in read_rollouts(folder):
            if not _is_rollout(rollout):
                num_left_out += 1
                continue
            kept = {name: rollout[name] for name in ("reward", "components")}
            rollouts_by_step[rollout["step"]].append(kept | {"length": len(rollout["response"])})
    if num_left_out:
        typer.echo(f"rollouts: {num_left_out} lines are not rollouts and are left out", err=True)
    return [
        {
            "step": step,
            "reward": _mean([rollout["reward"] for rollout in rollouts]),
            "components": {
                name: _mean([rollout["components"].get(name) for rollout in rollouts])
                for name in dict.fromkeys(name for rollout in rollouts for name in rollout["components"])
            }
            | {"length, characters": fmean(rollout["length"] for rollout in rollouts)},
        }
        for step, rollouts in sorted(rollouts_by_step.items())
    ]


def _stage_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "adapter": str(manifest.get("adapter"))[:16],
        "seconds": manifest.get("seconds"),
        "peak_memory_gib": round(manifest.get("peak_memory_bytes", 0) / 2**30, 2),
        "device": manifest.get("device"),
    }


def _known_recipe(root: Path) -> Mapping[str, Any]:
    """Return the recipe in an earlier report of the run; {} if there is none."""
    path = root / "report.json"
    meta = read_json_object(path).get("meta")
    recipe = meta.get("recipe") if isinstance(meta, Mapping) else None
    return recipe if isinstance(recipe, Mapping) and isinstance(recipe.get("data") or "", str) else {}


def _read_object(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RowsError(f"{path}: cannot be read: {error}") from None
    if not isinstance(record, Mapping):
        raise RowsError(f"{path}: expected a JSON object, found {type(record).__name__}")
    return record


def _read_manifest(path: Path) -> Mapping[str, Any]:
    record = _read_object(path)
    if problems := manifest_problems(record):
        raise RowsError("\n".join(f"{path}: {problem}" for problem in problems))
    return record


def _is_rollout(record: Mapping[str, Any]) -> bool:
    components = record.get("components")
    return (
        isinstance(record["step"], int)
        and _is_score(record.get("reward"))
        and isinstance(components, dict)
        and all(map(_is_score, components.values()))
        and isinstance(record.get("response"), str)
    )


def _is_score(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and abs(value) < sys.float_info.max)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
