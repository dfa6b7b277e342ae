"""Runs Python commands in processes that a server forks after it has loaded the libraries.

A new interpreter takes about eight seconds to import torch, transformers and TRL; a forked one has them. Everything
else is as in a new process: its own memory, environment, folder, arguments, output and exit code, and it can be killed.
A test about loading itself (what is printed, what is set before torch) needs a new interpreter instead.
"""

import gc
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path

LOADED = ("tests.stages.conftest", "stages.sft", "stages.dpo", "stages.grpo", "stages.__main__", "mlflow")


def context():
    """Return the context of `multiprocessing` with that server, which starts with the first process."""
    found = get_context("forkserver")
    found.set_forkserver_preload(list(LOADED))
    return found


@contextmanager
def started(words, folder, *, cwd=None, env=None):
    """Run `python WORDS` until the block ends, and yield its process; its output goes to two files of `folder`.

    Args:
        words: `-m MODULE` or `-c CODE`, and what follows.
        folder: gets `stdout` and `stderr`.
        cwd: the folder in which it runs, this process's by default.
        env: its environment, this process's by default.
    """
    folder, place = Path(folder), Path(cwd or Path.cwd())
    folder.mkdir(exist_ok=True)
    process = context().Process(target=_execute, args=(list(words), folder, place, dict(env or os.environ)))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def run(command, *, cwd=None, env=None, timeout=None, **_):
    """Return what `subprocess.run` returns for a command of this interpreter, with its output as text.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout` seconds.
    """
    python, *words = map(str, command)
    assert python == sys.executable
    with tempfile.TemporaryDirectory() as folder:
        with started(words, folder, cwd=cwd, env=env) as process:
            process.join(timeout)
            if process.exitcode is None:
                raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, process.exitcode, *_output(folder))


def run_ranks(words, *, env=None, num=2):
    """Run a command in several processes that find each other over gloo, as `torchrun` does; return like `run`.

    The output is that of all, one after the other. When one fails, the others are killed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = (os.environ | (env or {})) | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(num), "LOCAL_WORLD_SIZE": str(num)}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folders = [Path(name) / str(rank) for rank in range(num)]
        processes = []
        for rank, folder in enumerate(folders):
            own = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            processes.append(stack.enter_context(started(words, folder, env=own)))
        running = processes
        while running and not any(process.exitcode for process in processes):
            wait([process.sentinel for process in running])
            running = [process for process in running if process.exitcode is None]
        code = max(abs(process.exitcode or 0) for process in processes)
        stack.close()
        said = ["".join(texts) for texts in zip(*map(_output, folders), strict=True)]
        return subprocess.CompletedProcess(words, code, *said)


def _output(folder):
    return [(Path(folder) / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]


def _execute(words, folder, cwd, env):
    """Become `python WORDS`."""
    gc.freeze()  # what is loaded needs no collection
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path.insert(0, str(cwd))
    for name, number in (("stdout", 1), ("stderr", 2)):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    kind, what, *rest = words
    sys.argv = [what, *rest]
    sys.modules.pop(f"{what}.__main__", None)  # it runs anew, and runpy warns of a module that is loaded
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as `python -c` does
