"""Jobs, decisions and a toy device for tests of error mitigation."""

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from backends.adapter import Run
from em.methods import METHODS, Workload
from schemas.cloudevents import Event
from schemas.jobs import JobRequested, JobRouted, JobStatus, Observable, PauliTerm
from schemas.mitigation import Parameters, Recommendation

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
BELL = HEADER + "qubit[2] q;\nh q[0];\ncx q[0], q[1];\n"


def observable(name: str = "o", **terms: float) -> Observable:
    return Observable(name=name, terms=tuple(PauliTerm(pauli=pauli, coefficient=value) for pauli, value in terms.items()))


ZZ = (observable("zz", ZZ=1.0),)


def workload(*observables: Observable, shots: int = 4096) -> Workload:
    return Workload.of(JobRequested(job_id="job", circuits=(BELL,), observables=observables, shots=shots))


def decided(
    method: str = "raw",
    backend: str = "double",
    event_id: str = "decision-1",
    supersedes: str | None = None,
    parameters: Parameters | None = None,
    **job: object,
) -> Event[JobRouted]:
    fields = {"job_id": "job", "circuits": (BELL,), "observables": ZZ, "shots": 1000, "seed": 7, **job}
    advice = Recommendation(
        backend=backend,
        calibration_id="advised",
        method=method,
        method_version=METHODS[method].version if method in METHODS else "1",
        parameters=parameters or {},
        shot_overhead=1.0,
        total_shots=1,
        circuit_count=1,
        expected_error=0.1,
        expected_fidelity=0.9,
        fidelity_low=0.8,
        fidelity_high=1.0,
        confidence=0.9,
        execution_seconds=1.0,
        reason="a test",
    )
    routed = JobRouted(
        job_id=str(fields["job_id"]),
        decision="ROUTED",
        job=JobRequested(**fields),
        backend=backend,
        recommendation=advice,
        scores=(),
        scoring_policy="score-v1",
        model_version="test",
        supersedes=supersedes,
    )
    return Event(routed, event_id, b"\0" * 32)


class HeldJobs:
    """What the worker's view of job.status offers, in memory."""

    def __init__(self, *statuses: JobStatus) -> None:
        self.jobs = {status.job_id: status for status in statuses}

    def partition(self, partition: int) -> Mapping[str, JobStatus]:
        return self.jobs

    def find(self, key: str) -> JobStatus | None:
        return self.jobs.get(key)

    def take(self, records: Sequence[object]) -> None:
        for record in records:
            if isinstance(record, JobStatus):
                self.jobs[record.job_id] = record


class ToyDevice:
    """Executes runs on known outcome distributions: what tests of estimators need, without a quantum simulator.

    Args:
        distribution: (basis, scale) -> (2^n,) probabilities of what the qubits are; |0...0> at scale 0.
        confusions: per qubit (read, actual), column-stochastic.
    """

    def __init__(self, distribution, confusions: Sequence[np.ndarray]) -> None:
        self._distribution = distribution
        self._confusions = confusions
        self._confusion = reduce(np.kron, reversed(list(confusions)))

    def counts(self, runs: Sequence[Run], draw: np.random.Generator) -> list[dict[str, int]]:
        return [self._one(run, draw) for run in runs]

    def _one(self, run: Run, draw: np.random.Generator) -> dict[str, int]:
        qubits = len(self._confusions)
        actual = np.eye(1, 2**qubits)[0] if run.scale == 0 else self._distribution(run.basis, run.scale)
        flipped = actual[np.arange(2**qubits) ^ sum(1 << qubit for qubit in run.flips)]
        read = self._confusion @ flipped
        counts: dict[str, int] = {}
        for value, times in enumerate(draw.multinomial(run.shots, read)):
            text = "".join(str(value >> qubit & 1) for qubit in reversed(range(qubits)) if run.basis[-1 - qubit] != "I")
            if times:
                counts[text] = counts.get(text, 0) + int(times)
        return counts
