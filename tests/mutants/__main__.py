"""Mutation testing: `make mutants`. Do the tests fail when the code is changed in one place?

    python -m tests.mutants [TARGET ...] [--sample N]

prints the score of each module and the mutants that no test noticed. It exits with 1 if the score of a target is too
low. `targets.toml` lists the modules, the operators that are left out, and the tests of each module. `equivalent.toml`
lists mutants that do not change the behaviour, with the reason. They do not count, and an entry without a mutant is an
error. An interrupted run continues where it stopped (`.mutants/`).
"""

import argparse
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from tests.mutants.sessions import Mutant, mutants, note, outcomes, session
from tests.mutants.trial import NEEDS_IMPORT, SURVIVED, Limits, Tests, swapping, try_importing

HERE = Path(__file__).parent


@dataclass(slots=True)
class Tally:
    """The results of the mutants of a module."""

    name: str
    num_mutants: int = 0
    num_killed: int = 0
    num_equivalent: int = 0
    survivors: list[Mutant] = field(default_factory=list)
    is_sample: bool = False

    def add(self, other: "Tally") -> None:
        """Count the mutants of another module too."""
        self.num_mutants += other.num_mutants
        self.num_killed += other.num_killed
        self.num_equivalent += other.num_equivalent
        self.is_sample |= other.is_sample

    @property
    def num_counted(self) -> int:
        """Mutants that change something."""
        return self.num_mutants - self.num_equivalent

    @property
    def score(self) -> float:
        """Killed mutants of those that change something, in percent."""
        return 100.0 * self.num_killed / self.num_counted if self.num_counted else 100.0

    def row(self) -> str:
        """Return a row of the table; a sample has its interval."""
        cells = [self.name, self.num_mutants, self.num_killed, self.num_equivalent, f"{self.score:.1f} %"]
        if self.is_sample:
            from eval.statistics.intervals import critical_value, wilson

            low, high = wilson(self.score / 100, self.num_counted, critical_value(float("inf")))
            cells[-1] += f" ({100 * low:.1f} to {100 * high:.1f}, a sample)"
        return f"| {' | '.join(map(str, cells))} |"


class Equivalents:
    """The mutants that change nothing, by module: as they are listed, and which of them were met."""

    def __init__(self, path: Path) -> None:
        self.reasons: dict[tuple[str, str], str] = {}
        for module, groups in tomllib.loads(path.read_text(encoding="utf-8")).items():
            for group in groups:
                self.reasons |= {(module, change): group["reason"] for change in group["mutants"]}
        self.met: set[tuple[str, str]] = set()

    def has(self, mutant: Mutant) -> bool:
        """Say whether a mutant is listed for its module."""
        key = (mutant.spec.module_path.as_posix(), mutant.change)
        self.met.add(key)
        return key in self.reasons

    def not_met(self, modules: set[str]) -> list[str]:
        """Return the entries of modules that no survivor matched."""
        return [f"{key[0]}: {key[1]}" for key in self.reasons if key[0] in modules and key not in self.met]


def try_module(module_path: Path, paths: list[str], config: Mapping[str, Any], sample: int | None) -> Tally:
    """Try the mutants of a module that were not tried yet, and count all."""
    tally = Tally(module_path.as_posix())
    with session(module_path, paths, config["left_out"]) as database, TemporaryDirectory() as scratch:
        found, done = mutants(database, sample), outcomes(database)
        tally.is_sample = sample is not None and len(found) == sample
        pending = [each for each in found if each.job not in done]
        tests = Tests(tuple(paths), Path(scratch, "tests"), " ".join(config["skip"].split()))
        for mutant, survived in _tried(module_path, pending, tests, config["memory_gib"]):
            note(database, mutant, survived=survived)
            done[mutant.job] = survived
    tally.num_mutants = len(found)
    tally.survivors = [each for each in found if done[each.job]]
    tally.num_killed = tally.num_mutants - len(tally.survivors)
    return tally


def _tried(module_path: Path, pending: list[Mutant], tests: Tests, memory_gib: int) -> Iterator[tuple[Mutant, bool]]:
    """Yield each mutant with whether it survived."""
    if not pending:
        return
    status, seconds = try_importing(module_path, None, tests, Limits(600, memory_gib))
    if status != SURVIVED:
        sys.exit(f"{module_path}: its tests fail without a mutant: python -m pytest {' '.join(tests.arguments())}")
    limits = Limits(ceil(5 * seconds) + 2, memory_gib)
    with swapping(module_path, tests, limits) as swapped:
        for mutant in tqdm(pending, f"{module_path} ({seconds:.1f} s)", dynamic_ncols=True):
            outcome = swapped(mutant.source)
            if outcome in {SURVIVED, NEEDS_IMPORT}:
                outcome = try_importing(module_path, mutant.source, tests, limits)[0]
            yield mutant, outcome == SURVIVED


def main() -> int:
    """Try the mutants of targets; return 1 where too few were noticed."""
    config = tomllib.loads((HERE / "targets.toml").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(config['targets'])}; default: all")
    parser.add_argument("--sample", type=int, help="mutants to draw at random of each file, always the same")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(config["targets"]):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(config['targets'])}")
    for name in config["preload"]:
        import_module(name)

    equivalents, rows, lines, modules = Equivalents(HERE / "equivalent.toml"), [], [], set()
    is_enough = True
    for name in arguments.targets or config["targets"]:
        total = Tally(f"**{name}**")
        for path, paths in config["targets"][name].items():
            tally = try_module(Path(path), paths, config, arguments.sample)
            equivalent = [each for each in tally.survivors if equivalents.has(each)]
            tally.num_equivalent = len(equivalent)
            lines += [f"{each.place}: {each.change}" for each in tally.survivors if each not in equivalent]
            modules.add(tally.name)
            total.add(tally)
            rows.append(tally.row() if tally.num_mutants else "")
        rows.append(total.row())
        is_enough &= total.score >= config["least"]
    header = "| module | mutants | killed | equivalent | score |"
    stale = [] if arguments.sample else equivalents.not_met(modules)
    told = [f"equivalent, and no longer a survivor: {each}" for each in stale]
    report = ["survivors:", *lines, *told, "", header, "| --- | ---: | ---: | ---: | ---: |", *filter(None, rows)]
    sys.stdout.write("\n".join([*report, ""]))
    return int(not is_enough or bool(stale))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main())
