"""What runs achieved: errors of single runs, from the nightly's results and from users' jobs whose exact values can be computed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from em.circuits import parse
from em.families import FAMILIES, Instance
from em.ideal import ideal
from em.methods import METHODS
from em.observables import bound
from policy.choice import AUTOMATIC
from schemas.errors import InputError
from schemas.jobs import JobCompleted, JobRequested, Observable
from schemas.mitigation import EmMeasured

SEARCHED = 200
"""Circuits of each family and seed among which a hash is looked for."""

LEVEL = 2
"""Of the compiler; models know no other."""

WIDEST = 14
"""Qubits of a user's circuit whose exact value is worth computing: a statevector of 2^14 amplitudes takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Achieved:
    """One observable of one run.

    Attributes:
        source: OpenQASM 3.
        calibration_id: of the device, when it ran.
        shots: of each of the method's runs, as a job asks for them.
        error: |estimate - exact value|, in units of the observable's bound.
    """

    source: str
    observable: Observable
    calibration_id: str
    method: str
    shots: int
    error: float


def nightly(events: Iterable[EmMeasured], left_out: Counter[str], seeds: tuple[int, ...] = (0,)) -> Iterator[Achieved]:
    """Of `em.measured`; an event names its circuit by a hash, and circuits are drawn again from the families to find it.

    Args:
        events: of any families, methods and devices.
        left_out: counts events that nothing can be learned from, by reason.
        seeds: that circuits may have been drawn with.
    """
    for event in events:
        instance = next(
            (index[event.circuit_hash] for seed in seeds if event.circuit_hash in (index := _drawn(event.family, seed))), None
        )
        asked = None if instance is None else next((each for each in instance.observables if each.name == event.observable), None)
        if event.method not in AUTOMATIC:
            left_out["a method that is not chosen automatically"] += 1
        elif instance is None or asked is None or event.budget < 1:
            left_out["a circuit that is not among the first of its family"] += 1
        else:
            error = abs(event.value - event.ideal) / (event.bound or 1.0)
            yield Achieved(instance.source, asked, event.calibration_id, event.method, event.budget, error)


def completed(results: Iterable[JobCompleted], jobs: Mapping[str, JobRequested], left_out: Counter[str]) -> Iterator[Achieved]:
    """Of `job.completed`: jobs that ran to their end, on circuits narrow enough to compute what should have come out.

    Args:
        results: of any jobs.
        jobs: by job id, as they were requested.
        left_out: counts results that nothing can be learned from, by reason.
    """
    for result in results:
        job = jobs.get(result.job_id)
        reason = _useless(result, job)
        if reason or job is None:
            left_out[reason] += 1
            continue
        named = {each.name: each for each in job.observables}
        for found in result.expectations:
            source, observable = job.circuits[found.circuit], named[found.observable]
            exact = _exact(source, observable)
            if exact is None:
                left_out[f"a circuit of more than {WIDEST} qubits, or without an exact value"] += 1
                continue
            error = abs(found.value - exact) / (bound(observable) or 1.0)
            yield Achieved(source, observable, result.calibration_id, result.method, job.shots, error)


def _useless(result: JobCompleted, job: JobRequested | None) -> str:
    """Why nothing can be learned from a result; empty where something can."""
    if result.status != "DONE":
        return "a job that did not run to its end"
    if not result.expectations:
        return "a job for counts, which have no exact value"
    if job is None or job.circuit_hash != result.circuit_hash:
        return "a job whose request is not known"
    if job.optimization_level != LEVEL:
        return "a job that was compiled at another level"
    if result.method not in AUTOMATIC or result.parameters != METHODS[result.method].parameters({}):
        return "a method that is not chosen automatically"
    return ""


@lru_cache(maxsize=1024)
def _exact(source: str, observable: Observable) -> float | None:
    """The exact value, None where it cannot or need not be known."""
    try:
        return ideal(source, (observable,))[0] if parse(source).num_qubits <= WIDEST else None
    except InputError:
        return None


@lru_cache(maxsize=64)
def _drawn(family: str, seed: int) -> Mapping[str, Instance]:
    if family not in FAMILIES:
        return {}
    found = (FAMILIES[family].instance(number, seed) for number in range(SEARCHED))
    return {instance.circuit_hash: instance for instance in found}
