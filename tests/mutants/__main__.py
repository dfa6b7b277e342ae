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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from tests.mutants.sessions import Mutant, mutants, note, outcomes, session
from tests.mutants.trial import NEEDS_IMPORT, SURVIVED, Limits, Tests, TestsFailError, swapping, try_importing

HERE = Path(__file__).parent


@dataclass(slots=True)
class Tally:
    """The results of the mutants of a module."""

    name: str
    num_all: int
    num_tried: int
    num_killed: int
    survivors: list[Mutant]
    num_equivalent: int = 0

    @property
    def weight(self) -> float:
        """How many mutants of the module one that was tried stands for."""
        return self.num_all / self.num_tried


def score(tallies: Sequence[Tally]) -> float:
    """Return the share of killed mutants among those that change the behaviour; a sample is scaled to its module."""
    killed = sum(each.weight * each.num_killed for each in tallies)
    counted = sum(each.weight * (each.num_tried - each.num_equivalent) for each in tallies)
    return killed / counted if counted else 1.0


def effective_size(tallies: Sequence[Tally]) -> float:
    """Return how many mutants a simple random sample with the same precision would have; infinite if all were tried.

    Samples of several modules are strata (Cochran, Sampling Techniques, 5.6) with the correction for finite
    populations; the variance within each is taken to be the same.
    """
    num_all = sum(each.num_all for each in tallies)
    parts = [(each.num_all / num_all) ** 2 * (1 - 1 / each.weight) / each.num_tried for each in tallies]
    return 1 / sum(parts) if any(parts) else inf


def row(name: str, tallies: Sequence[Tally]) -> str:
    """Return a row of the table; a sample has its 95 % interval."""
    columns = zip(
        *((each.num_all, each.num_tried, each.num_killed, each.num_equivalent) for each in tallies), strict=True
    )
    told, size = f"{100 * score(tallies):.1f} %", effective_size(tallies)
    if size < inf:
        from eval.statistics.intervals import critical_value, wilson  # a target: not before its mutants were tried

        low, high = wilson(score(tallies), size, critical_value(inf))
        told += f" ({100 * low:.1f} to {100 * high:.1f})"
    return f"| {' | '.join(map(str, [name, *map(sum, columns), told]))} |"


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
    with session(module_path, paths, config["left_out"]) as database, TemporaryDirectory() as scratch:
        (found, num_all), done = mutants(database, sample), outcomes(database)
        pending = [each for each in found if each.job not in done]
        tests = Tests(tuple(paths), Path(scratch, "tests"), " ".join(config["skip"].split()))
        for mutant, survived in _tried(module_path, pending, tests, config["memory_gib"]):
            note(database, mutant, survived=survived)
            done[mutant.job] = survived
    survivors = [each for each in found if done[each.job]]
    return Tally(module_path.as_posix(), num_all, len(found), len(found) - len(survivors), survivors)


def _tried(module_path: Path, pending: list[Mutant], tests: Tests, memory_gib: int) -> Iterator[tuple[Mutant, bool]]:
    """Yield each mutant with whether it survived."""
    if not pending:
        return
    with swapping(module_path, tests, memory_gib) as (seconds, swapped):
        limits = Limits.after(seconds, memory_gib)
        for mutant in tqdm(pending, f"{module_path} ({seconds:.1f} s)", dynamic_ncols=True):
            outcome = swapped(mutant.source)
            if outcome in {SURVIVED, NEEDS_IMPORT}:
                outcome = try_importing(module_path, mutant.source, tests, limits)
            yield mutant, outcome == SURVIVED


def table(tried: Mapping[str, Sequence[Tally]]) -> list[str]:
    """Return the lines of the table: a row for each module, and one for each target in bold."""
    lines = ["| module | mutants | tried | killed | equivalent | score |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, tallies in tried.items():
        lines += [*(row(tally.name, [tally]) for tally in tallies), row(f"**{name}**", tallies)]
    return lines


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

    equivalents, tried, survivors = Equivalents(HERE / "equivalent.toml"), {}, []
    for name in arguments.targets or config["targets"]:
        try:
            tallies = [
                try_module(Path(path), paths, config, arguments.sample)
                for path, paths in config["targets"][name].items()
            ]
        except TestsFailError as error:
            sys.exit(str(error))
        for tally in tallies:
            counted = [each for each in tally.survivors if not equivalents.has(each)]
            tally.num_equivalent = len(tally.survivors) - len(counted)
            survivors += [f"{each.place}: {each.change}" for each in counted]
        tried[name] = [tally for tally in tallies if tally.num_tried]
    modules = {tally.name for tallies in tried.values() for tally in tallies}
    stale = [] if arguments.sample else equivalents.not_met(modules)
    told = [f"equivalent, and no longer a survivor: {each}" for each in stale]
    sys.stdout.write("\n".join(["survivors:", *survivors, *told, "", *table(tried), ""]))
    return int(bool(stale) or any(100 * score(tallies) < config["least"] for tallies in tried.values()))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main())
