"""The processes that simulate: started once, shared by all local backends, replaced when they break."""

import multiprocessing
import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from backends.adapter import Run, Work
from backends.errors import BackendError
from backends.idling import device_of
from backends.simulation import Outcome, Simulator
from schemas.calibration import CalibrationUpdated
from schemas.codec import decode, encode

_SIMULATORS = 16  # devices kept per process; a simulator of 127 qubits with its caches takes some 50 MB at most
_WARM_SOURCE = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'


class SimulationPool:
    """Runs works in other processes. Thread-safe.

    Attributes:
        workers: processes, each with one thread.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise BackendError(f"a simulation pool needs at least one process, got {workers}")
        self.workers = workers
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None

    def submit(self, calibration: CalibrationUpdated, work: Work) -> "Future[Outcome]":
        """Starts a work under a calibration; a broken pool is replaced first."""
        task = (_name(calibration), encode(calibration), work)
        with self._lock:
            try:
                return self._started().submit(_simulate, *task)
            except BrokenProcessPool:
                self._executor = None
                return self._started().submit(_simulate, *task)

    def warm(self, calibrations: list[CalibrationUpdated]) -> None:
        """Starts every process and lets each compile once for every device; returns when all are ready.

        Raises:
            BackendError: a process died while it started.
        """
        encoded = [(_name(calibration), encode(calibration)) for calibration in calibrations]
        with self._lock:
            futures = [self._started().submit(_warm, encoded) for _ in range(self.workers)]
        try:
            for future in futures:
                future.result()
        except BrokenProcessPool as error:
            raise BackendError("a simulation process died while it started; is there enough memory?") from error

    def close(self) -> None:
        """Ends the processes at once; what is running is dropped."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            for process in list(executor._processes.values()):  # there is no public way before Python 3.14
                process.terminate()
            executor.shutdown(wait=True, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["backends.pool"])  # the imports take seconds: once, not once per process
            self._executor = ProcessPoolExecutor(self.workers, mp_context=context, initializer=die_with_the_parent)
        return self._executor


_simulators: OrderedDict[str, Simulator] = OrderedDict()


def _simulate(name: str, encoded: bytes, work: Work) -> Outcome:
    """In a pool process: the work on the device, whose simulator is kept."""
    return _simulator(name, encoded).run(work)


def _warm(calibrations: list[tuple[str, bytes]]) -> None:
    """In a pool process: everything that the first job would otherwise wait for.

    The pause makes the pool start its other processes for the other tasks, instead of giving this one all of them.
    """
    work = Work((_WARM_SOURCE,), (Run(0, 16),), seed=0)
    for name, encoded in calibrations:
        _simulator(name, encoded).run(work)
    time.sleep(0.1)


def _simulator(name: str, encoded: bytes) -> Simulator:
    if name not in _simulators:
        _simulators[name] = Simulator(device_of(decode(CalibrationUpdated, encoded)))
        if len(_simulators) > _SIMULATORS:
            _simulators.popitem(last=False)
    _simulators.move_to_end(name)
    return _simulators[name]


def _name(calibration: CalibrationUpdated) -> str:
    """What a simulator is kept under: two providers may make other devices of one snapshot."""
    return f"{calibration.provider}/{calibration.calibration_id}"


def die_with_the_parent() -> None:
    """Ends this process when the one that uses it is killed: pool processes would otherwise wait for work for ever."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
