"""Running a grid: a process a cell, several at once where asked for, validation first and the test split last.

Every cell is a run of `tritrace curriculum` in `OUTPUT/CELL`, so that what is finished is skipped and what was
interrupted is continued. The test split is opened only where that is asked for, and after every cell has been trained.
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
"""Last lines of a cell's log that are shown where it failed."""


def run_cells(
    grid: Grid, *, split: HeldOut, jobs: int = 1, only: Sequence[str] = (), flags: Sequence[str] = ()
) -> list[Cell]:
    """Train every cell that is not trained, evaluate it on a split, and return the cells.

    Args:
        grid: the declaration.
        split: of held-out queries.
        jobs: cells run at once.
        only: names of the cells to run; none is all.
        flags: of the curriculum and its stages, as on the command line.

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
    """Run a cell in a process of its own; return what went wrong, if anything did."""
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
