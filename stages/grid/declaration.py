"""Reads the declaration of a grid: one curriculum on several machines and bases, each with training seeds.

    tritrace grid stages/recipes/pocket/grid.yaml

A YAML file:

    curriculum: curriculum.yaml          relative to this file; its model is the pocket base
    output: runs/grid
    seeds: [0, 1, 2]                     training seeds of every cell
    machines:                            the first one is this machine as it is
      native: {}
      avx2: {threads: 1, env: {ATEN_CPU_CAPABILITY: avx2, ONEDNN_MAX_CPU_ISA: AVX2}}
    bases: [1, 2]                        pretraining seeds of further bases, run on the first machine
    base_seeds: [0]                      training seeds of these bases; by default `seeds`

    An imitated machine is a number of threads and a set of environment variables that make PyTorch and oneDNN use the
    kernels of another processor. It changes the last digits of every sum, like another processor, but it is not another
    processor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.arguments.reading import read_yaml, unknown_key
from stages.errors import StageError

SHIPPED = "shipped"
"""Name of the base of the package."""
_KEYS = ("curriculum", "output", "seeds", "machines", "bases", "base_seeds")
_MACHINE_KEYS = ("threads", "env")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A processor, real or imitated."""

    name: str
    env: Mapping[str, str]
    """Environment variables of its processes."""
    threads: int | None
    """Threads of PyTorch; None lets PyTorch choose."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A machine with a base, and its training seeds."""

    machine: Machine
    base: int | None
    """Seed of a base that is pretrained here; None means the base of the package."""
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name in tables and of the folder."""
        return self.machine.name if self.base is None else f"{self.machine.name}-base-{self.base}"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Cells to run and compare."""

    curriculum: Path
    output: Path
    cells: tuple[Cell, ...]


def read_grid(path: Path) -> Grid:
    """Read the declaration of a grid.

    Raises:
        StageError: the declaration has mistakes; lists all of them with their fields.
    """
    values, _ = read_yaml(path)
    problems = [unknown_key(str(key), _KEYS) for key in values if key not in _KEYS]
    problems += [f"{name} is missing" for name in ("curriculum", "output", "machines") if not values.get(name)]
    seeds, bases = values.get("seeds", [0]), values.get("bases") or []
    base_seeds = values.get("base_seeds", seeds)
    for name, numbers, least in (("seeds", seeds, 1), ("bases", bases, 0), ("base_seeds", base_seeds, 1)):
        if not isinstance(numbers, list) or len(numbers) < least or not all(type(each) is int for each in numbers):
            problems.append(f"{name}: expected a list of whole numbers, found {numbers!r}")
    records = values.get("machines") or {}
    if not isinstance(records, Mapping):
        problems.append(f"machines: expected a mapping from names to machines, found {records!r}")
        records = {}
    machines = [_machine(str(name), record, problems) for name, record in records.items()]
    if problems:
        raise StageError([f"{path}: {problem}" for problem in problems])
    shipped = [Cell(machine=machine, base=None, seeds=tuple(seeds)) for machine in machines]
    further = [Cell(machine=machines[0], base=base, seeds=tuple(base_seeds)) for base in bases]
    return Grid(
        curriculum=path.parent / values["curriculum"],
        output=Path(values["output"]),
        cells=(*shipped, *further),
    )


def _machine(name: str, record: Any, problems: list[str]) -> Machine:
    where = f"machines.{name}"
    if not isinstance(record, Mapping):
        problems.append(f"{where}: expected a mapping with {', '.join(_MACHINE_KEYS)}, found {record!r}")
        record = {}
    problems += [f"{where}: {unknown_key(str(key), _MACHINE_KEYS)}" for key in record if key not in _MACHINE_KEYS]
    threads, env = record.get("threads"), record.get("env") or {}
    if threads is not None and (type(threads) is not int or threads < 1):
        problems.append(f"{where}.threads: expected a whole number from 1 on, found {threads!r}")
    if not isinstance(env, Mapping):
        problems.append(f"{where}.env: expected a mapping from variables to values, found {env!r}")
        env = {}
    return Machine(name=name, threads=threads, env={str(key): str(value) for key, value in env.items()})
