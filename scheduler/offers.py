"""What backends would do for jobs: a row for each candidate of each job, so that one job and ten thousand are decided alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from scheduler.ledger import Ledger
from scheduler.market import Floats, Table
from schemas.jobs import JobRequested
from schemas.mitigation import Recommendation

Places = NDArray[np.intp]

_NUMBERS = ("expected_fidelity", "expected_error", "total_shots", "execution_seconds", "qubits")


@dataclass(frozen=True, eq=False)
class Offers:
    """All candidates of all jobs, by job.

    Attributes:
        table: the backends.
        at: the time of the decision.
        jobs: what is asked.
        candidates: (rows,): how a backend would run a job.
        names, ids, methods: (rows,): of the candidates: backend, calibration that the advice was made under, method.
        said: (rows,) each: expected fidelity, expected error and execution seconds, as the candidates have them.
        job, backend: (rows,): places in `jobs` and in `table`.
        fidelity, error, shots, seconds, qubits: (rows,): of the candidates.
        wait_seconds, jobs_ahead: (rows,): what stands before the job there.
    """

    table: Table
    at: datetime
    jobs: Sequence[JobRequested]
    candidates: Sequence[Recommendation]
    names: Sequence[str]
    ids: Sequence[str]
    methods: Sequence[str]
    said: tuple[Sequence[float], ...]
    job: Places
    backend: Places
    fidelity: Floats
    error: Floats
    shots: Floats
    seconds: Floats
    qubits: Floats
    wait_seconds: Floats
    jobs_ahead: Floats

    @classmethod
    def of(
        cls, asked: Sequence[tuple[JobRequested, Sequence[Recommendation]]], table: Table, ledger: Ledger, at: datetime
    ) -> "Offers":
        """The offers for jobs; each candidate's backend must stand in the table."""
        candidates = [candidate for _, each in asked for candidate in each]
        given = [each.__dict__ for each in candidates]  # attributes of models take three times as long
        names, ids, methods = ([each[name] for each in given] for name in ("backend", "calibration_id", "method"))
        numbers = [[each[name] for each in given] for name in _NUMBERS]
        fidelity, error, shots, seconds, qubits = (np.array(each, dtype=np.float64) for each in numbers)
        backend = np.fromiter(map(table.index.__getitem__, names), np.intp, len(names))
        wait, ahead = waits(table, ledger, at)
        return cls(
            table=table,
            at=at,
            jobs=[job for job, _ in asked],
            candidates=candidates,
            names=names,
            ids=ids,
            methods=methods,
            said=(numbers[0], numbers[1], numbers[3]),
            job=np.repeat(np.arange(len(asked)), [len(each) for _, each in asked]),
            backend=backend,
            fidelity=fidelity,
            error=error,
            shots=shots,
            seconds=seconds,
            qubits=qubits,
            wait_seconds=wait[backend],
            jobs_ahead=ahead[backend],
        )

    def limits(self, values: Sequence[float | None], none: float) -> Floats:
        """(rows,): a number of each job, `none` where it has none."""
        return np.array([none if value is None else value for value in values], dtype=np.float64)[self.job]


def waits(table: Table, ledger: Ledger, at: datetime) -> tuple[Floats, Floats]:
    """(backends,) each: seconds before a new job starts, and the jobs before it.

    Those of our jobs that a device runs stand in the queue that it reports, if it reports one: the longer of the two counts.
    Behind it come those of ours that are not there yet, at the pace that the last ones really had.
    """
    seconds, jobs = table.queue_seconds.copy(), table.queue_length.copy()
    for backend, ours, running, waiting in ledger.backlogs(at):
        place = table.index.get(backend)
        if place is not None:
            seconds[place] = max(seconds[place], running) + waiting
            jobs[place] += ours
    return seconds, jobs
