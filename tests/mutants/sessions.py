"""The mutants of a module, in a session of Cosmic Ray: a file that remembers what each came to.

A session belongs to the source of the module, its tests and the operators. When one of them changes it begins anew;
else a run that was stopped continues where it stopped. There is one exception: if the tests only gained lines, the
killed mutants stay killed, and the survivors are tried again.
"""

import hashlib
import re
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice, starmap, takewhile
from pathlib import Path
from random import Random

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

SESSIONS_PATH = Path(".mutants")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one place of a module."""

    job: str
    spec: MutationSpec
    source: str
    """The whole module with the change."""
    change: str
    """The lines that it changes: as they were, an arrow, and as they are."""

    @property
    def place(self) -> str:
        """Return path and line."""
        return f"{self.spec.module_path}:{self.spec.start_pos[0]}"


@contextmanager
def session(module_path: Path, tests: Iterable[str], left_out: Mapping[str, str]) -> Iterator[WorkDB]:
    """Open the session of a module; mutants of operators that are left out are not in it."""
    parts = [module_path.read_bytes(), repr(sorted(left_out)).encode()]
    identity = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    SESSIONS_PATH.mkdir(exist_ok=True)
    name = module_path.with_suffix("").as_posix().replace("/", ".")
    path = SESSIONS_PATH / f"{name}-{identity}.sqlite"
    tests_path = SESSIONS_PATH / f"{name}.tests"
    before = tests_path.read_text(encoding="utf-8") if tests_path.exists() else ""
    now = "".join(Path(each).read_text(encoding="utf-8") for each in tests)
    if not has_all_lines(now, before):
        path.unlink(missing_ok=True)
    is_new = not path.exists()
    for other in SESSIONS_PATH.glob(f"{name}-*.sqlite"):
        if other != path:
            other.unlink()
    with use_db(path) as database:
        if is_new or not database.num_work_items:
            init([module_path], database, {})
            out = re.compile("|".join(left_out))
            names = {item.job_id: item.mutations[0].operator_name for item in database.work_items}
            skipped = [job for job, operator in names.items() if out.search(operator)]
            database.set_multiple_results(skipped, WorkResult(WorkerOutcome.SKIPPED))
        elif now != before:
            _forget_survivors(path)
        tests_path.write_text(now, encoding="utf-8")
        yield database


def has_all_lines(text: str, before: str) -> bool:
    """Say whether a text has all lines of an earlier one, in their order, and perhaps more."""
    lines = iter(text.splitlines())
    return all(line in lines for line in before.splitlines())


def _forget_survivors(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM work_results WHERE test_outcome = ?", (TestOutcome.SURVIVED.name,))


def mutants(database: WorkDB, sample: int | None) -> tuple[list[Mutant], int]:
    """Return the mutants of a session in a fixed order, and how many there are.

    If there are more than `sample`, return that many, drawn at random. A larger sample contains every smaller one.
    """
    skipped = {job for job, result in database.results if result.worker_outcome == WorkerOutcome.SKIPPED}
    items = [(item.job_id, item.mutations[0]) for item in database.work_items if item.job_id not in skipped]
    items.sort(key=lambda item: (item[1].start_pos, item[1].operator_name, item[1].occurrence))
    if sample is not None and sample < len(items):
        Random(0).shuffle(items)
        drawn = islice(filter(None, starmap(_mutant, items)), sample)
        return sorted(drawn, key=lambda each: each.spec.start_pos), len(items)
    found = [*filter(None, starmap(_mutant, items))]
    return found, len(found)


def outcomes(database: WorkDB) -> dict[str, bool]:
    """Return by job whether the mutant survived, for those that were tried."""
    return {job: result.test_outcome == TestOutcome.SURVIVED for job, result in database.results if result.test_outcome}


def note(database: WorkDB, mutant: Mutant, *, survived: bool) -> None:
    """Remember what a mutant came to."""
    outcome = TestOutcome.SURVIVED if survived else TestOutcome.KILLED
    database.set_result(mutant.job, WorkResult(WorkerOutcome.NORMAL, None, outcome, mutant.change))


def _mutant(job: str, spec: MutationSpec) -> Mutant | None:
    """Return a mutant; None where the operator leaves the text as it is, or what it writes is no Python."""
    text = spec.module_path.read_text(encoding="utf-8")
    source = mutate_code(text, get_operator(spec.operator_name)(**spec.operator_args), spec.occurrence)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            compile(source or "", spec.module_path, "exec")
    except SyntaxError:
        return None
    return None if source in {None, text} else Mutant(job, spec, source, change(text, source))


def change(before: str, after: str) -> str:
    """Return the lines of a text that another one changes: as they were, an arrow, and as they are."""
    old, new = before.splitlines(), after.splitlines()
    first = len(list(takewhile(_is_same, zip(old, new, strict=False))))
    rest = zip(old[first:][::-1], new[first:][::-1], strict=False)
    last = len(list(takewhile(_is_same, rest)))
    return " -> ".join(" ".join(line.strip() for line in side[first : len(side) - last]) for side in (old, new))


def _is_same(lines: tuple[str, str]) -> bool:
    return lines[0] == lines[1]
