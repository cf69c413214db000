"""The processes that measure: they end with the one that uses them, and are replaced when one dies."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Self

from backends.pool import die_with_the_parent
from em.errors import EmError

_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Workers:
    """A pool, for `with`.

    Attributes:
        size: processes, each with one thread.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise EmError(f"a run needs at least one process, got {size}")
        self.size = size
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            for process in list(self._pool._processes.values()) if kind else ():  # nobody waits for what they are at
                process.terminate()
            self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Starts a call; in new processes if one of the old has died."""
        try:
            return self._started().submit(function, *arguments)
        except BrokenProcessPool:
            self._pool = None
            return self._started().submit(function, *arguments)

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["em.harness.measure"])  # the imports take seconds: once, not once per process
            with _one_thread_each():
                self._pool = ProcessPoolExecutor(self.size, mp_context=context, initializer=die_with_the_parent)
                self._pool.submit(os.getpid).result()
        return self._pool


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Numerical libraries read these when they are loaded: processes times threads should be the cores."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(_THREADS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
