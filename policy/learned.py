"""The learned policy: what a model expects of each method on each candidate, or why it is not asked."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backends.device import Device
from backends.errors import BackendError
from em.methods import METHODS
from em.planning import TRANSPILER_SEED
from policy.choice import AUTOMATIC
from policy.demand import Demand
from policy.fallback import Fallback
from policy.features import NAMES, PLACE, table
from policy.model import Model
from policy.placement import Placement, placed
from policy.prior import prior
from policy.readable import LOST, unreadable
from policy.signal import GATES
from schemas.calibration import CalibrationUpdated
from schemas.errors import InputError
from schemas.jobs import JobRequested

_KEPT = 4096  # placements, of circuits on candidates
_JUDGED = 512  # judgements, of circuits on all candidates with one number of shots


@dataclass(frozen=True, slots=True)
class Judgement:
    """A candidate, judged by a model.

    Attributes:
        placement: what the circuit meets there.
        errors: method -> expected |error|, in units of the observable's bound.
        overheads: method -> shots that it needs for each of raw's, for as small a standard error.
        confidence: chance that no method is more than 10 % better than the one that is expected to be the best.
        quantile: the error of a run / the expected one, that intervals reach to.
        past: achieved / expected errors of the backend so far, counted in; 1 where they do not differ.
    """

    placement: Placement
    errors: Mapping[str, float]
    overheads: Mapping[str, float]
    confidence: float
    quantile: float
    past: float = 1.0


class Learned:
    """A model with what it has compiled. One for each process.

    Attributes:
        model: what is asked.
        past: backend -> achieved / expected errors, of backends where they differ.
    """

    def __init__(self, model: Model, past: Mapping[str, float] | None = None) -> None:
        self.model, self.past = model, dict(past or {})
        self._devices: dict[str, Device] = {}
        self._judgements: OrderedDict[tuple[object, ...], dict[str, Judgement | Fallback]] = OrderedDict()
        self._placements: OrderedDict[tuple[str, str, str, int], Placement | Fallback] = OrderedDict()

    def judge(
        self, job: JobRequested, demand: Demand, calibrations: Mapping[str, CalibrationUpdated]
    ) -> dict[str, Judgement | Fallback]:
        """Backend -> its judgement, or why the closed form has to do; all candidates in one call of the model."""
        if (refusal := self._refusal(job, demand)) is not None:
            return dict.fromkeys(calibrations, refusal)
        what = "" if demand.observable is None else demand.observable.model_dump_json()
        together = "" if len(job.observables) == 1 else "".join(each.model_dump_json() for each in job.observables)
        ids = tuple(each.calibration_id for each in calibrations.values())
        key = demand.source, what, together, demand.workload.shots, job.optimization_level, tuple(calibrations), ids
        if key not in self._judgements:
            self._judgements[key] = self._judge(job, demand, calibrations, what)
            if len(self._judgements) > _JUDGED:
                self._judgements.popitem(last=False)
        self._judgements.move_to_end(key)
        return self._judgements[key]

    def _judge(
        self, job: JobRequested, demand: Demand, calibrations: Mapping[str, CalibrationUpdated], what: str
    ) -> dict[str, Judgement | Fallback]:
        found = {name: self._placement(job, demand, each, what) for name, each in calibrations.items()}
        there = {name: place for name, place in found.items() if isinstance(place, Placement)}
        said: dict[str, Judgement | Fallback] = {name: place for name, place in found.items() if isinstance(place, Fallback)}
        return said | (self._judged(job, demand, there, calibrations) if there else {})

    def _refusal(self, job: JobRequested, demand: Demand) -> Fallback | None:
        most = self.model.about["limits"]
        circuit = demand.hardest
        if demand.observable is None:
            return Fallback("counts", "the model knows no jobs for counts")
        if job.method not in ("auto", *AUTOMATIC):
            return Fallback("method", f"the model does not know {job.method}")
        if job.method != "auto" and METHODS[job.method].parameters(job.method_parameters) != METHODS[job.method].parameters({}):
            return Fallback("method", f"the model knows {job.method} with its own parameters only")
        if circuit.qubits > most["qubits"]:
            return Fallback("size", f"the model knows circuits of up to {most['qubits']} qubits, this has {circuit.qubits}")
        if circuit.two_qubit_gates > most["gates"]:
            says = f"the model knows circuits of up to {most['gates']} two-qubit gates, this has {circuit.two_qubit_gates}"
            return Fallback("size", says)
        return None

    def _placement(self, job: JobRequested, demand: Demand, calibration: CalibrationUpdated, what: str) -> Placement | Fallback:
        key = calibration.calibration_id, demand.source, what, job.optimization_level
        if key not in self._placements:
            self._placements[key] = self._placed(job, demand, calibration)
            if len(self._placements) > _KEPT:
                self._placements.popitem(last=False)
        self._placements.move_to_end(key)
        return self._placements[key]

    def _placed(self, job: JobRequested, demand: Demand, calibration: CalibrationUpdated) -> Placement | Fallback:
        assert demand.observable is not None  # noqa: S101 - refused before
        strange = sorted(set(calibration.basis_gates) - GATES)
        if strange:
            return Fallback("gates", f"the model does not know the gates {', '.join(strange)}")
        try:
            return placed(self._device(calibration), demand.source, demand.observable, job.optimization_level)
        except (BackendError, InputError) as error:
            return Fallback("compiler", f"the circuit could not be compiled: {error}")

    def _device(self, calibration: CalibrationUpdated) -> Device:
        known = self._devices.get(calibration.backend)
        if known is None or known.calibration.calibration_id != calibration.calibration_id:
            known = self._devices[calibration.backend] = Device(calibration)
        return known

    def features(self, job: JobRequested, demand: Demand, calibration: CalibrationUpdated) -> NDArray[np.float32] | None:
        """(methods, features) of a job on one candidate; None where the model is not asked."""
        if self._refusal(job, demand) is not None or demand.observable is None:
            return None
        place = self._placement(job, demand, calibration, demand.observable.model_dump_json())
        return np.asarray(_table(demand, [place])[0]) if isinstance(place, Placement) else None

    def _judged(
        self, job: JobRequested, demand: Demand, there: Mapping[str, Placement], calibrations: Mapping[str, CalibrationUpdated]
    ) -> dict[str, Judgement | Fallback]:
        features = _table(demand, list(there.values()))
        said = self.model.predict(features)
        judged: dict[str, Judgement | Fallback] = {}
        for index, (name, place) in enumerate(there.items()):
            if said.distances[index] > self.model.threshold:
                judged[name] = self._strange(features[index, 0], float(said.distances[index]))
                continue
            past = self.past.get(name, 1.0)
            device = self._device(calibrations[name])
            lost = unreadable(device, device.compile(demand.source, TRANSPILER_SEED, job.optimization_level), job.observables)
            expected = zip(AUTOMATIC, (said.errors[index] * past).tolist(), strict=True)
            errors = {method: LOST if METHODS[method].reader in lost else error for method, error in expected}
            overheads = dict(zip(AUTOMATIC, said.overheads[index].tolist(), strict=True))
            judged[name] = Judgement(place, errors, overheads, float(said.confidence[index]), self.model.quantile, past)
        return judged

    def _strange(self, row: Sequence[float], distance: float) -> Fallback:
        """Names what is farthest from what the model knows."""
        known = self.model.reference
        away = np.abs((np.asarray(row, dtype=float)[list(PLACE)] - known.mean) / known.scale)
        worst = int(away.argmax())
        return Fallback(
            "novel",
            f"this is unlike what the model knows (distance {distance:.1f} > {self.model.threshold:.1f}; "
            f"{NAMES[PLACE[worst]]} is {away[worst]:.1f} standard deviations away)",
        )


def _table(demand: Demand, places: Sequence[Placement]) -> NDArray[np.float32]:
    shots = np.full(len(AUTOMATIC), float(demand.workload.shots))
    known = prior(demand.target, places, AUTOMATIC, shots)
    return table(demand.target, demand.hardest, places, methods=AUTOMATIC, shots=shots, seen=known)
