"""Clifford data regression: what noise does to near-Clifford circuits, whose exact values are known, is learnt and undone.

One scale: Czarnik et al. 2021, arXiv:2005.10189. Several scales: Lowe et al. 2021, arXiv:2011.01157.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import numpy as np

from backends.adapter import Fold, Run
from em.circuits import CircuitFeatures
from em.errors import JobInvalidError
from em.methods.method import Cost, Estimate, Gates, Workload
from em.methods.parameters import number, whole
from em.methods.raw import RawReader
from em.methods.samples import Floats, Readings, Sample
from em.methods.zne import DEFAULT_SCALES, scales_of
from em.near_clifford import training
from em.observables import constant
from schemas.mitigation import Parameters

_LEAST_SIGNAL = 4.0  # mean square of the training values / their shot noise: below, there is nothing to learn from


@dataclass(frozen=True)
class CliffordRegression:
    """A `Method`: values of a circuit corrected by a linear fit to training circuits (`em.near_clifford`), readout included.

    Args:
        variable: learn from several noise scales, without an intercept; else from one, with it.
    """

    variable: bool = False
    version: ClassVar[str] = "1"
    reader: ClassVar[str] = "raw"
    extrapolation: ClassVar[str | None] = None
    gates: ClassVar[Gates] = "learned"

    @property
    def name(self) -> str:
        """`cdr` or `vncdr`."""
        return "vncdr" if self.variable else "cdr"

    def parameters(self, given: Parameters) -> Parameters:
        """See `Method.parameters`.

        `training_circuits`, 4 to 100; `training_ratio`: shots of each / shots of the job, 0.01 to 100; `non_clifford`: gates
        that keep their angle in each, 0 to 100; for `vncdr` also `scale_factors` and `fold`.
        """
        known: Parameters = {"training_circuits": 10, "training_ratio": 1.0, "non_clifford": 4}
        if self.variable:
            known |= {"scale_factors": DEFAULT_SCALES[:2], "fold": "global"}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise JobInvalidError(f"the method {self.name!r} has no parameter {unknown[0]!r}; it has {sorted(known)}")
        parameters = {**known, **given}
        whole(parameters, "training_circuits", 4, 100)
        number(parameters, "training_ratio", 0.01, 100)
        whole(parameters, "non_clifford", 0, 100)
        scales = self._scales(parameters)
        if len(scales) + 2 > whole(parameters, "training_circuits", 4, 100):
            raise JobInvalidError(f"training_circuits must be at least {len(scales) + 2} for {len(scales)} scale factors")
        return parameters

    def width(self, circuit: CircuitFeatures) -> int:
        """See `Method.width`: the circuit's own."""
        return circuit.qubits

    def cost(self, workload: Workload, given: Parameters) -> Cost:
        """See `Method.cost`."""
        return Cost.of(self.circuits(workload, given, seed=0), workload)

    def bodies(self, workload: Workload, given: Parameters, seed: int) -> tuple[str, ...]:
        """See `Method.bodies`: after the workload's own, for each of them itself again and its training circuits."""
        if not workload.sources:
            raise JobInvalidError(f"the method {self.name!r} builds training circuits and needs the circuits' sources")
        parameters = self.parameters(given)
        found = (
            training(source, workload.observables, *self._training(parameters), seed + place)
            for place, source in enumerate(workload.sources)
        )
        return (*workload.sources, *chain.from_iterable((each.target, *each.sources) for each in found))

    def circuits(self, workload: Workload, given: Parameters, seed: int) -> tuple[Run, ...]:
        """See `Method.circuits`."""
        parameters = self.parameters(given)
        if not workload.observables:
            raise JobInvalidError(f"a job without observables returns counts, which the method {self.name!r} cannot; ask for 'raw'")
        return tuple(run for circuit in range(workload.circuits) for run in chain(*self._layout(workload, circuit, parameters)))

    def combine(
        self,
        workload: Workload,
        given: Parameters,
        seed: int,
        counts: Sequence[Mapping[str, int]],
        weights: Sequence[float] = (),
    ) -> tuple[tuple[Estimate, ...], ...]:
        """See `Method.combine`."""
        parameters = self.parameters(given)
        remaining = iter(counts)
        return tuple(
            self._estimates(workload, circuit, parameters, seed + circuit, remaining) for circuit in range(workload.circuits)
        )

    def _scales(self, parameters: Parameters) -> list[float]:
        return scales_of({**parameters, "extrapolation": "linear"}) if self.variable else [1]

    def _training(self, parameters: Parameters) -> tuple[int, int]:
        return whole(parameters, "training_circuits", 4, 100), whole(parameters, "non_clifford", 0, 100)

    def _layout(self, workload: Workload, circuit: int, parameters: Parameters) -> Iterator[list[Run]]:
        """The runs of the circuit and then of each training circuit, at each scale: a list of one for each group."""
        count, _ = self._training(parameters)
        first = workload.circuits + circuit * (count + 1)
        shots = max(1, round(number(parameters, "training_ratio", 0.01, 100) * workload.shots))
        fold: Fold = parameters.get("fold", "global")  # type: ignore[assignment]  # checked by scales_of
        for body in range(first, first + count + 1):
            for scale in self._scales(parameters):
                size = workload.shots if body == first else shots
                yield [Run(body, size, scale, group.basis, fold=fold) for group in workload.groups]

    def _estimates(
        self, workload: Workload, circuit: int, parameters: Parameters, seed: int, remaining: Iterator[Mapping[str, int]]
    ) -> tuple[Estimate, ...]:
        terms = workload.terms()
        readings: list[Readings] = []
        for runs in self._layout(workload, circuit, parameters):
            samples = [Sample.of(group.qubits, [run], [next(remaining)]) for group, run in zip(workload.groups, runs, strict=True)]
            readings.append(RawReader().read(None, workload.groups, samples, terms))
        shape = (-1, len(self._scales(parameters)), len(workload.observables))
        values = np.array([reading.values for reading in readings]).reshape(shape)
        variances = np.array([reading.variances for reading in readings]).reshape(shape)
        exact = training(workload.sources[circuit], workload.observables, *self._training(parameters), seed).exact
        return tuple(
            self._estimate(constant(observable), values[..., index], variances[..., index], exact[:, index])
            for index, observable in enumerate(workload.observables)
        )

    def _estimate(self, known: float, values: Floats, variances: Floats, exact: Floats) -> Estimate:
        """From (1 + training circuits, scales) values, the first row the circuit's own."""
        raw = float(values[0, 0])
        offset = np.zeros((len(values), 0)) if self.variable else np.ones((len(values), 1))
        target, *rows = np.hstack([values, offset])
        learned = np.array(rows)
        centred = values[1:, 0] if self.variable else values[1:, 0] - values[1:, 0].mean()
        if np.square(centred).mean() < _LEAST_SIGNAL * variances[1:, 0].mean():
            note = "the raw value: the training circuits' values do not differ by more than shot noise"
            return Estimate(known + raw, float(np.sqrt(variances[0, 0])), known + raw, note)
        inverse = np.linalg.pinv(learned.T @ learned)
        slopes = inverse @ learned.T @ exact
        residual = np.square(exact - learned @ slopes).sum() / (len(learned) - len(slopes))
        gradient = np.square(slopes[: values.shape[1]])
        from_training = float((variances[1:] @ gradient).mean())
        misfit = max(0.0, residual - from_training)  # what no line explains befalls the circuit itself, too
        variance = float(gradient @ variances[0]) + misfit + max(residual, from_training) * float(target @ inverse @ target)
        return Estimate(known + float(target @ slopes), float(np.sqrt(variance)), known + raw)
