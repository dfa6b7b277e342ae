"""`tritrace grid`: runs the cells, publishes the validation bands, opens the test split, and writes the page."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from stages.curriculum import HeldOut
from stages.grid.declaration import read_grid
from stages.grid.page import Opening, write_section
from stages.grid.results import Findings, bands, metrics_table, read_findings, section
from stages.grid.run import run_cells
from stages.progress import say
from stages.results.published import write_bands

_TITLES: dict[HeldOut, str] = {
    "validation": "## The pocket world, validation split",
    "test": "## The pocket world, test split",
}


def run_grid(
    path: Path,
    *,
    jobs: int = 1,
    only: Sequence[str] = (),
    opens_test: bool = False,
    results: Path = Path("RESULTS.md"),
    flags: Sequence[str] = (),
) -> None:
    """Run a grid and write its results; with `only`, the tables are printed and not written.

    Raises:
        UserError: the declaration, a recipe or a file cannot be used, or cells failed.
    """
    grid, commit = read_grid(path), current_commit()
    splits: list[HeldOut] = ["validation", "test"] if opens_test else ["validation"]
    for split in splits:
        cells = run_cells(grid, split=split, jobs=jobs, only=only, flags=flags)
        findings = read_findings(grid, cells, split)
        say("\n".join(metrics_table(findings)))
        if only or flags:
            continue
        if split == "validation":
            write_bands(bands(findings))
        command = f"tritrace grid {path}{' --open-test' if split == 'test' else ''}"
        _write(results, findings, command, commit)


def _write(results: Path, findings: Findings, command: str, commit: str) -> None:
    today, machine = datetime.now(UTC).date().isoformat(), processor()
    num_prompts = len({sample.id for sample in findings.together["grpo"][0]})
    heading = [
        _TITLES[findings.split],
        "",
        (
            f"`{command}`, {today}, commit {commit}, {machine}. {num_prompts} held-out prompts; cells with their "
            f"training seeds: {'; '.join(_with_seeds(findings))}."
        ),
    ]
    opening = Opening(today, commit, machine, command) if findings.split == "test" else None
    write_section(results, f"pocket {findings.split}", section(findings, heading), opening)
    say(f"results: {results}")


def _with_seeds(findings: Findings) -> list[str]:
    return [f"{cell} {', '.join(map(str, seeds))}" for cell, seeds in findings.seeds.items()]


def current_commit() -> str:
    """Return the current commit, with a mark if files were changed; "unknown" outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
    if found.returncode:
        return "unknown"
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False).returncode  # noqa: S603
    return found.stdout.strip() + (" with changes" if changed else "")


def processor() -> str:
    """Return the processor's name, its number of cores, and the kernels that PyTorch uses."""
    import torch

    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()} kernels"
