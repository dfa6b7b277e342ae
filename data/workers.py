"""One function over many items, in this process or in several: the same results in the same order.

The number of items in progress is bounded, which bounds memory. This is our own code, because the `map` of Python's
pools reads all items at once (`concurrent.futures` can bound them from Python 3.14 on).
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import Any, TypeVar

from protocol.errors import UserError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
ITEMS_PER_JOB = 4
"""Most items in progress: enough that a worker never waits for the main process."""


class LostItemsError(UserError):
    """A worker process was killed, or crashed."""

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__("a worker process was killed or crashed; --jobs 1 needs the least memory")
        self.items = items
        """Those that were on their way, in order; everything before them is done."""


def map_in_order(
    function: Callable[[ItemT], ResultT], items: Iterable[ItemT], jobs: int
) -> Generator[ResultT, None, None]:
    """Yield `function(item)` for each item, in order; with more than one job from as many processes.

    Close the generator if it is not read to its end: that ends the processes. Function, items and results are pickled.

    Raises:
        LostItemsError: a process was killed, or crashed.
    """
    if jobs == 1:
        yield from map(function, items)
        return
    pending: deque[tuple[ItemT, Future[ResultT]]] = deque()
    # Spawned, since a fork of a process with threads (a progress bar has one) may deadlock.
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_end_with_parent)
    try:
        for item in items:
            with _interrupts_held():
                pending.append((item, pool.submit(function, item)))
            if len(pending) >= ITEMS_PER_JOB * jobs:
                yield pending[0][1].result()
                pending.popleft()
        while pending:
            yield pending[0][1].result()
            pending.popleft()
    except BrokenProcessPool:
        raise LostItemsError([item for item, _ in pending]) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker when the main process is killed: it would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Deliver a Ctrl-C after the block; a process started within never sees one, so that the main one ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
