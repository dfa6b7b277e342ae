"""Runs a grid: one process for each cell, optionally several at once; first validation, then the test split.

Every cell is a run of `tritrace curriculum` in `OUTPUT/CELL`. So finished steps are skipped and interrupted ones are
continued. The test split is opened only on request, and only after every cell was trained.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from stages.curriculum import Curriculum, HeldOut, open_curriculum
from stages.errors import StageError
from stages.grid.declaration import Cell, Grid
from stages.progress import say

NUM_LINES_TOLD = 12
"""Number of last lines of a failed cell's log to show."""


def run_cells(
    grid: Grid, *, split: HeldOut, jobs: int = 1, only: Sequence[str] = (), flags: Sequence[str] = ()
) -> list[Cell]:
    """Train every untrained cell, evaluate all cells on a split, and return the cells.

    Args:
        grid: the declaration.
        split: the split of held-out queries.
        jobs: number of cells to run at once.
        only: names of the cells to run; empty means all.
        flags: flags of the curriculum and its stages, as on the command line.

    Raises:
        StageError: there is no such cell, or cells failed; the others were run.
    """
    known = [cell.name for cell in grid.cells]
    if unknown := set(only) - set(known):
        raise StageError(f"--only: there is no cell {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    cells = [cell for cell in grid.cells if not only or cell.name in only]
    shared = open_curriculum(grid.curriculum, ["--output", str(grid.output), *flags])

    def run(cell: Cell) -> str | None:
        given = ["--data", str(shared.data), "--model", _model(cell, shared, grid), "--evaluate_on", split]
        return _run(cell, grid, f"{split}.log", [*given, *flags])

    with ThreadPoolExecutor(jobs) as pool:
        problems = [problem for problem in pool.map(run, cells) if problem]
    if problems:
        raise StageError(problems)
    return cells


def _model(cell: Cell, shared: Curriculum, grid: Grid) -> str:
    if cell.base is None:
        return shared.model
    from stages.pocket.pretrain import cached_pocket_model
    from stages.pocket.shipped import trace_texts

    return str(cached_pocket_model(grid.output / "model", trace_texts=trace_texts(), seed=cell.base))


def _run(cell: Cell, grid: Grid, log_name: str, flags: Sequence[str]) -> str | None:
    """Run a cell in a separate process; return an error message, or None."""
    folder = grid.output / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    seeds = [str(seed) for seed in cell.seeds]
    command = [sys.executable, "-m", "stages", "curriculum", str(grid.curriculum)]
    command += ["--output", str(folder), "--seeds", *seeds, *flags]
    log, started = folder / log_name, time.monotonic()
    say(f"{cell.name}: started; the log is {log}")
    with log.open("w", encoding="utf-8") as file:
        status = subprocess.run(command, env=_environment(cell), stdout=file, stderr=file, check=False).returncode  # noqa: S603
    minutes = (time.monotonic() - started) / 60
    if not status:
        say(f"{cell.name}: done in {minutes:.1f} minutes")
        return None
    told = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-NUM_LINES_TOLD:])
    return f"{cell.name}: ended with code {status} after {minutes:.1f} minutes; {log} ends with:\n{told}"


def _environment(cell: Cell) -> Mapping[str, str]:
    threads = {} if cell.machine.threads is None else {"OMP_NUM_THREADS": str(cell.machine.threads)}
    return {**os.environ, **cell.machine.env, **threads}
