"""One mutant, tried in a process of its own: do the tests of its target fail?

Cosmic Ray starts Python and pytest anew for every mutant, which takes seconds for tests of milliseconds. Here a process
is forked from one that has imported the libraries already, and nothing is written to the source:

* `swapping` collects the tests once. For each mutant it forks, gives the functions the mutant's code, and runs them:
  first the tests that killed most mutants so far, then the quick ones.
* `importing` forks before anything of ours is imported, and hands the mutant's source to the import. It is slower, and
  right for every mutant: of a constant, a decorator, a default or a field too.

A mutant that survives swapping is imported as well, because values made while the tests were collected may hide it.
"""

import gc
import importlib.abc
import importlib.util
import inspect
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from itertools import pairwise
from math import ceil
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from hypothesis import Phase, settings

SURVIVED, KILLED, NEEDS_IMPORT = 0, 1, 2
WALL_SECONDS = 900
"""After which a try counts as hanging, however busy the machine is."""
_IS_FUNCTION = inspect.CO_OPTIMIZED
"""A flag of code: functions have it, modules and classes have not."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a try may use."""

    cpu_seconds: int
    memory_gib: int

    @classmethod
    def after(cls, seconds: float, memory_gib: int) -> "Limits":
        """Return what a mutant may use of which the tests take so many seconds; imports are extra."""
        return cls(ceil(3 * seconds) + 5, memory_gib)


class TestsFailError(Exception):
    """The tests of a module fail, or cannot be collected, while nothing is changed."""


@dataclass(frozen=True, slots=True)
class Tests:
    """Which tests must notice."""

    paths: tuple[str, ...]
    scratch_path: Path
    skip: str = ""
    """An expression of pytest's `-k`: what it names is not run."""

    def arguments(self) -> list[str]:
        """Return pytest's arguments: quiet, stopping at the first failure, writing nothing but what tests write."""
        unused = ("cacheprovider", "benchmark", "xdist", "faulthandler", "anyio", "junitxml", "pastebin")
        quiet = ["-x", "-q", "--no-header", "--no-summary", "--tb=no", "--hypothesis-profile=mutants"]
        quiet += ["-W", "ignore:Module already imported"]  # hypothesis is, before its plugin for pytest
        chosen = ["-k", f"not ({self.skip})"] if self.skip else []
        plugins = [part for name in unused for part in ("-p", f"no:{name}")]
        return [*quiet, f"--basetemp={self.scratch_path}", *plugins, *chosen, *self.paths]


def try_importing(module_path: Path, source: str, tests: Tests, limits: Limits) -> int:
    """Import the mutant's source and run the tests; return `SURVIVED`, or another exit status."""
    finder = _Mutant(module_path, source)
    pid = os.fork()
    if not pid:
        with _exiting():
            _hush()
            _restrain(limits)
            sys.meta_path.insert(0, finder)
            os._exit(int(pytest.main(tests.arguments())))
    return _outcome(pid)[0]


@contextmanager
def swapping(module_path: Path, tests: Tests, memory_gib: int) -> Iterator[tuple[float, Callable[[str], int]]]:
    """Collect the tests in a process of its own, and run them once without a mutant.

    Yields the seconds of processor that they took, and a function that tries a mutant's source. The function returns
    `SURVIVED`, `KILLED`, or `NEEDS_IMPORT` where the mutant differs outside of functions.

    Raises:
        TestsFailError: the tests fail without a mutant.
    """
    ours, theirs = Pipe()
    pid = os.fork()
    if not pid:
        with _exiting():
            ours.close()  # else this process would wait for itself at the end
            _hush()
            _register_profile()
            pytest.main(tests.arguments(), plugins=[_Swapping(module_path, theirs, memory_gib)])
    theirs.close()

    def ask(source: str) -> int:
        ours.send(source)
        return int(ours.recv())

    try:
        try:
            status, seconds = ours.recv()
        except EOFError:  # they could not be collected
            status, seconds = KILLED, 0.0
        if status != SURVIVED:
            raise TestsFailError(f"{module_path}: fail without a mutant: pytest {' '.join(tests.arguments())}")
        yield seconds, ask
    finally:
        ours.close()
        os.waitpid(pid, 0)


@contextmanager
def _exiting() -> Iterator[None]:
    """End a forked process whatever happens: it must not go on where its parent does."""
    try:
        yield
    finally:
        os._exit(KILLED)


def _outcome(pid: int) -> tuple[int, float]:
    _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def _hush() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _restrain(limits: Limits) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(WALL_SECONDS)
    memory = limits.memory_gib << 30
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _register_profile()


def _register_profile() -> None:
    """The same examples for every mutant; nobody reads the smallest one."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=phases)


class _Mutant(importlib.abc.MetaPathFinder):
    """Finds one module, with other source than on disk."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.code = path.resolve(), _compiled(source, str(path.resolve()))
        parts = path.with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)

    def find_spec(self, fullname, _path=None, _target=None):
        if fullname != self.name:
            return None
        loader = SourceFileLoader(fullname, str(self.path))
        loader.get_code = lambda _: self.code
        places = [str(self.path.parent)] if self.is_package else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=loader, submodule_search_locations=places
        )


class _Swapping:
    """A plugin of pytest that runs the collected tests once for every source it is sent."""

    def __init__(self, module_path: Path, connection: Connection, memory_gib: int) -> None:
        self.path, self.connection, self.limits = str(module_path.resolve()), connection, Limits(600, memory_gib)
        self.original = compile(module_path.read_text(encoding="utf-8"), self.path, "exec")

    def pytest_runtestloop(self, session):
        """Run the tests for each source, until there is none."""
        functions = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
        functions = [each for each in functions if each.__code__.co_filename == self.path]
        ranks = RawArray("d", len(session.items))
        status, seconds = _outcome(self.fork(self.original, functions, session, ranks))
        self.connection.send((status, seconds))
        self.limits = Limits.after(seconds, self.limits.memory_gib)
        gc.freeze()
        while True:
            try:
                mutant = _compiled(self.connection.recv(), self.path)
            except EOFError:
                return True
            is_within = _outline(mutant) == _outline(self.original)
            if not is_within:
                self.connection.send(NEEDS_IMPORT)
                continue
            has_survived = _outcome(self.fork(mutant, functions, session, ranks))[0] == SURVIVED
            self.connection.send(SURVIVED if has_survived else KILLED)

    def fork(self, mutant, functions, session, ranks):
        """Run the tests with the functions of a mutant, in a process of their own; return its id."""
        pid = os.fork()
        if not pid:
            with _exiting():
                _restrain(self.limits)
                codes = {(each.co_qualname, each.co_firstlineno): each for each in _codes(mutant)}
                for function in functions:
                    function.__code__ = codes[function.__code__.co_qualname, function.__code__.co_firstlineno]
                os._exit(_run(session, ranks))
        return pid


def _run(session, ranks):
    """Run the tests by rank. A rank is the seconds of a test, less one for each mutant that it killed."""
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    for place, following in pairwise([*order, None]):
        item, began = session.items[place], time.process_time()
        next_item = None if following is None else session.items[following]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
        if session.testsfailed:
            ranks[place] -= 1.0
            return KILLED
        ranks[place] = ranks[place] or time.process_time() - began
    return SURVIVED


def _compiled(source, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # "is" with a number: a mutant must run, whatever it looks like
        return compile(source, path, "exec")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _outline(code: CodeType) -> tuple[object, ...]:
    """Return what a module or a class does when it is imported, functions told apart by their names alone."""
    inner = (
        (_outline(each) if not each.co_flags & _IS_FUNCTION else each.co_qualname)
        if isinstance(each, CodeType)
        else (type(each), each)
        for each in code.co_consts
    )
    return (code.co_code, code.co_names, *inner)
