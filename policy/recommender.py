"""The recommender: for every backend, which method, what it costs and how well it should do; learned, or in closed form."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from em.errors import JobInvalidError
from em.methods import METHODS, Cost, Workload
from policy import metrics
from policy.choice import AUTOMATIC, Limits, Option, choose, within
from policy.closed_form import Noise, Prediction, noise, seconds
from policy.demand import Demand
from policy.device import Device
from policy.errors import RegionError
from policy.fallback import CHOSEN, Fallback
from policy.learned import Judgement, Learned
from policy.words import as_followed, reason, trust
from schemas.calibration import CalibrationUpdated
from schemas.jobs import EmRecommended, JobRequested, Observable, PauliTerm
from schemas.mitigation import MethodScore, Recommendation, Unfit

MODEL_VERSION = "closed-form-1"

CONFIDENCE = 0.9
"""Share of runs whose fidelity lies inside the interval; tests/policy measures it on simulated devices."""

_BIAS_RANGE = 2.0  # times the predicted bias: a stabiliser has twice the signal that is assumed
_DEVIATIONS = 1.5


class Recommender:
    """Fills `em.recommended` from what the calibrations say, by a model where one is given and knows such jobs.

    Attributes:
        calibrations: backend -> its latest calibration; a live view.
        learned: gives the model, or says why there is none.
    """

    def __init__(
        self, calibrations: Mapping[str, CalibrationUpdated], learned: Callable[[], Learned | Fallback] = lambda: CHOSEN
    ) -> None:
        self.calibrations = calibrations
        self.learned = learned
        self._devices: dict[str, Device] = {}
        self._lock = threading.Lock()  # what is remembered of circuits and devices is one thread's at a time

    def recommend(self, job: JobRequested) -> EmRecommended:
        """The advice for a job. What is wrong with the job becomes `problems`, what rules a backend out `unfit`."""
        with self._lock, metrics.SECONDS.time():
            return self._recommended(job)

    def _recommended(self, job: JobRequested) -> EmRecommended:
        calibrations = {name: self.calibrations[name] for name in sorted(self.calibrations)}
        problems = _problems(job, calibrations)
        candidates: list[Recommendation] = []
        version = MODEL_VERSION
        unfit: list[Unfit] = []
        try:
            demand = Demand.of(job)
            costs = _costs(job, demand.workload) if not problems else {}
        except JobInvalidError as error:
            problems.append(str(error))
        if not problems:
            model = self.learned()
            judged = self._judged(model, job, demand, calibrations)
            if isinstance(model, Learned) and any(isinstance(each, Judgement) for each in judged.values()):
                version = model.model.version
            _count(judged.values())
            for name, calibration in calibrations.items():
                try:
                    candidates.append(_recommendation(job, demand, costs, self._device(name, calibration), judged[name]))
                except RegionError as error:
                    unfit.append(Unfit(backend=name, calibration_id=calibration.calibration_id, reason=f"{error}{demand.copies}"))
        metrics.DECISIONS.labels(version).inc()
        return EmRecommended(
            job_id=job.job_id,
            job=job,
            candidates=tuple(candidates),
            unfit=tuple(unfit),
            problems=tuple(problems),
            model_version=version,
        )

    def warm(self) -> None:
        """Takes the seconds that the first circuit of a process costs (imports, the transpiler) before a job has to wait for it."""
        source = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'
        asked = Observable(name="zz", terms=(PauliTerm(pauli="ZZ", coefficient=1.0),))
        self.recommend(JobRequested(job_id="warm-up", circuits=(source,), observables=(asked,)))

    def _judged(
        self, model: Learned | Fallback, job: JobRequested, demand: Demand, calibrations: Mapping[str, CalibrationUpdated]
    ) -> Mapping[str, Judgement | Fallback]:
        if isinstance(model, Fallback):
            return dict.fromkeys(calibrations, model)
        wide_enough = {name: each for name, each in calibrations.items() if len(self._device(name, each).working) >= demand.width}
        return dict.fromkeys(calibrations, CHOSEN) | model.judge(job, demand, wide_enough)

    def _device(self, name: str, calibration: CalibrationUpdated) -> Device:
        """The prepared calibration; prepared anew when its id changes."""
        known = self._devices.get(name)
        if known is None or known.calibration.calibration_id != calibration.calibration_id:
            known = self._devices[name] = Device(name, calibration)
        return known


def _count(judged: Iterable[Judgement | Fallback]) -> None:
    for each in judged:
        if isinstance(each, Judgement):
            metrics.CONFIDENCE.observe(each.confidence)
        else:
            metrics.FALLBACKS.labels(each.kind).inc()


def _problems(job: JobRequested, calibrations: Mapping[str, CalibrationUpdated]) -> list[str]:
    problems = []
    if not calibrations:
        problems.append("no backend has published a calibration yet; start the calibration agent, or wait for it")
    elif job.backend is not None and job.backend not in calibrations:
        problems.append(f"unknown backend {job.backend!r}: known are {', '.join(calibrations)}")
    if job.method != "auto" and job.method not in METHODS:
        problems.append(f"unknown method {job.method!r}: known are {', '.join(METHODS)}, and auto")
    if job.method == "auto" and job.method_parameters:
        problems.append("method_parameters belong to a method: name it in place of auto")
    return problems


def _costs(job: JobRequested, workload: Workload) -> Mapping[str, Cost]:
    """Method -> what it spends, of the methods that may be chosen; the same on every backend.

    Raises:
        JobInvalidError: the method that the user named cannot do this job, or has no such parameters.
    """
    names = (job.method,) if job.method != "auto" else AUTOMATIC if workload.observables else ("raw",)
    return {name: _cost(name, workload, json.dumps(job.method_parameters)) for name in names}


@lru_cache(maxsize=4096)
def _cost(name: str, workload: Workload, parameters: str) -> Cost:
    """Remembered, because a method lays out all its circuits to count them; parameters as JSON."""
    return METHODS[name].cost(workload, json.loads(parameters))


def _recommendation(
    job: JobRequested, demand: Demand, costs: Mapping[str, Cost], device: Device, judged: Judgement | Fallback
) -> Recommendation:
    region = device.region(demand.width)
    if isinstance(judged, Judgement):
        seen = judged.placement.noise
        found = [Option(name, METHODS[name], cost, Prediction(judged.errors[name], 0.0)) for name, cost in costs.items()]
    else:
        seen = noise(demand.target, demand.largest, region)
        found = [Option.of(name, cost, seen, demand) for name, cost in costs.items()]
    options = sorted(found, key=lambda option: option.error)
    allowed, limited = within(options, _limits(job, device, seen))
    chosen = choose(allowed, job.sla)
    low, high = _interval(chosen.prediction, judged)
    met = as_followed(judged.placement) if isinstance(judged, Judgement) else seen
    said = (reason(chosen, options, met, job.sla), limited, trust(judged, chosen))
    return Recommendation(
        backend=device.name,
        calibration_id=device.calibration.calibration_id,
        method=chosen.name,
        method_version=chosen.method.version,
        parameters=chosen.method.parameters(job.method_parameters),
        shot_overhead=max(1.0, chosen.cost.overhead),
        total_shots=chosen.cost.shots,
        circuit_count=chosen.cost.circuits,
        expected_error=chosen.error,
        expected_fidelity=fidelity(chosen.error),
        fidelity_low=low,
        fidelity_high=high,
        confidence=CONFIDENCE,
        execution_seconds=seconds(seen, chosen.cost.shots_by_scale),
        qubits=demand.width,
        reason=" ".join(filter(None, said)),
        ranking=tuple(
            MethodScore(method=option.name, expected_error=option.error, shot_overhead=max(1.0, option.cost.overhead))
            for option in options
        ),
    )


def _limits(job: JobRequested, device: Device, seen: Noise) -> Limits:
    until = None if job.deadline is None else (job.deadline - job.requested_at).total_seconds()
    return Limits(until, job.max_cost_usd, device.calibration.price, seen)


def fidelity(error: float) -> float:
    """1 - error / 2: from an error in units of the spectral bound, at most 2, to [0, 1]."""
    return min(1.0, max(0.0, 1 - error / 2))


def _interval(prediction: Prediction, judged: Judgement | Fallback) -> tuple[float, float]:
    """Fidelities of the largest and of the smallest error that are likely."""
    if isinstance(judged, Judgement):
        worst = judged.quantile * prediction.error
    else:
        worst = _BIAS_RANGE * prediction.bias + _DEVIATIONS * prediction.deviation
    return fidelity(max(worst, prediction.error)), 1.0
