"""Shared by all tests: settings, marks for requirements, and the shipped pocket base.

Marks state what a test needs (`pytest --markers`). With `-m "not torch"`, files and folders that need torch as a whole
are not imported, and torch is blocked for the rest: a test that needs it without the mark fails.
"""

import gc
import importlib.util
import os
import re
import sys
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path

# Two workers share two cores, and the models of the tests are too small for a second thread. Read when torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import pytest
from hypothesis import settings

settings.register_profile("full", deadline=None)  # the time of an example depends on how busy the machine is
settings.register_profile("few", settings.get_profile("full"), max_examples=10)  # `make test-fast`
settings.load_profile("full")

REPOSITORY = Path(__file__).parent.parent
OF_MODELS = ("families", "invariant", "notebooks", "stages")
"""Folders in which all tests need torch. Elsewhere a file has `pytestmark = pytest.mark.torch`."""


class NoTorch(MetaPathFinder):
    """Blocks the import of torch."""

    @classmethod
    def find_spec(cls, name, *_):
        if name == "torch":
            raise ModuleNotFoundError("this test imports torch and does not say so: mark it with pytest.mark.torch")


def _needs_torch(path):
    """Return whether a folder or a file of tests needs torch as a whole."""
    rest = path.relative_to(Path(__file__).parent).parts
    if rest and rest[0] in OF_MODELS:
        return True
    return path.suffix == ".py" and "\npytestmark = pytest.mark.torch\n" in path.read_text(encoding="utf-8")


def _is_without_torch(config):
    return bool(re.search(r"\bnot torch\b", config.getoption("markexpr")))


def pytest_configure(config):
    if _is_without_torch(config):
        sys.meta_path.insert(0, NoTorch)


def pytest_ignore_collect(collection_path, config):
    return True if _is_without_torch(config) and _needs_torch(collection_path) else None


def pytest_collection_modifyitems(items):
    for item in items:
        if _needs_torch(item.path):
            item.add_marker("torch")
        if "browser" in item.fixturenames:
            item.add_marker("browser")
    # Files with long tests come first: at the end, no worker waits long for another.
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session", autouse=True)
def _imports_are_not_collected():
    """Leave what is imported out of garbage collection: accelerate collects after each stage, for half a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()  # otherwise Triton's binding names at the end whatever was never freed


@pytest.fixture(scope="session")
def shared_path(tmp_path_factory):
    """Return the folder of this test run, shared by its workers."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def once(shared_path):
    """Return a function that makes a folder once for all workers; a test that changes it must copy it first."""
    from filelock import FileLock

    def made(name, make):
        path = shared_path / name
        with FileLock(f"{path}.lock"):
            done = Path(f"{path}.done")
            if not done.exists():
                make(path)
                done.touch()
        return path

    return made


@pytest.fixture(scope="session")
def pocket_model_path(tmp_path_factory):
    """Return the folder of the shipped pocket base."""
    from stages.pocket.shipped import pocket_base

    return pocket_base(tmp_path_factory.mktemp("pocket-model"))


@pytest.fixture(scope="session", autouse=True)
def _cheap_requests():
    """Retry requests at once if the server states no time, and read the certificates once, not for each client."""
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("openai"):
            import httpx2

            patch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
            patch.setattr("httpx2._transports.default.create_ssl_context", cache(httpx2.create_ssl_context))
        yield
