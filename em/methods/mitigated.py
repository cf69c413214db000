"""A method put together from how it reads and how it extrapolates."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from backends.adapter import Fold, Run
from em.circuits import CircuitFeatures
from em.errors import JobInvalidError
from em.methods.method import Cost, Estimate, Gates, Workload
from em.methods.samples import Floats, Readings, Sample
from em.methods.treatments import Treatment
from em.methods.zne import DEFAULT_SCALES, EXTRAPOLATIONS, Extrapolated, scales_of
from em.observables import Group, bound, constant
from schemas.mitigation import Parameters


class Reader(Protocol):
    """How Pauli strings are read, and what is done about readout errors. `draw` is the run's own random stream."""

    name: str
    version: str
    defaults: ClassVar[Parameters]

    def check(self, parameters: Parameters) -> None:
        """Raises JobInvalidError for a value that a parameter cannot take."""

    def calibration(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """Runs that learn a body's readout, once for all groups and scales; the plain run reads all their qubits in |0>."""

    def runs(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """The runs in whose place an unmitigated method would do the plain one."""

    def calibrate(self, runs: Sequence[Run], counts: Sequence[Mapping[str, int]]) -> Any:
        """What the calibration runs taught."""

    def read(self, calibration: Any, groups: Sequence[Group], samples: Sequence[Sample], weights: Sequence[Floats]) -> Readings:
        """All observables at one scale: (observables, paulis of the group) `weights` for each group."""


_Part: TypeAlias = tuple[float, Group | None, list[Run]]
"""Scale, group and runs."""


@dataclass(frozen=True)
class Mitigated:
    """A `Method`: a reader, an extrapolation to zero gate noise or none, and treatments of the circuits."""

    how: Reader
    extrapolation: str | None = None
    treatments: tuple[Treatment, ...] = ()

    @property
    def reader(self) -> str:
        """The reader's name."""
        return self.how.name

    @property
    def name(self) -> str:
        """`raw`, `readout`, `zne-linear`, `readout-twirl-zne-linear`, ...: the reader, treatments, and extrapolation."""
        zne = [] if self.extrapolation is None else [f"zne-{self.extrapolation}"]
        parts = [*(treatment.name for treatment in self.treatments), *zne]
        return "-".join(parts if self.reader == "raw" and parts else [self.reader, *parts])

    @property
    def version(self) -> str:
        """The latest version of the reader and the treatments; the extrapolations have had one only."""
        return max([self.how.version, *(treatment.version for treatment in self.treatments)], key=int)

    @property
    def gates(self) -> Gates:
        """`extrapolated`, `cancelled` or nothing."""
        if self.extrapolation is not None:
            return "extrapolated"
        return "cancelled" if any(treatment.name == "pec" for treatment in self.treatments) else ""

    def parameters(self, given: Parameters) -> Parameters:
        """See `Method.parameters`."""
        known = {**self.how.defaults, **self._zne_defaults()}
        for treatment in self.treatments:
            known |= treatment.defaults
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise JobInvalidError(f"the method {self.name!r} has no parameter {unknown[0]!r}; it has {sorted(known) or 'none'}")
        parameters = {**known, **given}
        if parameters.get("extrapolation") != self.extrapolation:
            raise JobInvalidError(f"the method {self.name!r} cannot extrapolate by {parameters.get('extrapolation')!r}")
        self.how.check(parameters)
        for treatment in self.treatments:
            treatment.check(parameters)
        self._scales(parameters)
        return parameters

    def width(self, circuit: CircuitFeatures) -> int:
        """See `Method.width`: the circuit's own."""
        return circuit.qubits

    def cost(self, workload: Workload, given: Parameters) -> Cost:
        """See `Method.cost`."""
        return Cost.of(self.circuits(workload, given, seed=0), workload)

    def bodies(self, workload: Workload, given: Parameters, seed: int) -> tuple[str, ...]:
        """See `Method.bodies`: the workload's own."""
        return workload.sources

    def circuits(self, workload: Workload, given: Parameters, seed: int) -> tuple[Run, ...]:
        """See `Method.circuits`."""
        parameters = self.parameters(given)
        if not workload.observables:
            if self.name != "raw":
                raise JobInvalidError(
                    f"a job without observables returns counts, which the method {self.name!r} cannot; ask for 'raw'"
                )
            return tuple(Run(body, workload.shots) for body in range(workload.circuits))
        return tuple(
            run for body in range(workload.circuits) for _, _, runs in self._plan(workload, body, parameters, seed) for run in runs
        )

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
        remaining = zip(counts, weights or [1.0] * len(counts), strict=True)
        terms = workload.terms()
        return tuple(
            self._estimates(workload, self._plan(workload, body, parameters, seed), remaining, terms)
            for body in range(workload.circuits if workload.observables else 0)
        )

    def _zne_defaults(self) -> Parameters:
        if self.extrapolation is None:
            return {}
        return {"scale_factors": DEFAULT_SCALES, "extrapolation": self.extrapolation, "fold": "global"}

    def _scales(self, parameters: Parameters) -> list[float]:
        return [1] if self.extrapolation is None else scales_of(parameters)

    def _plan(self, workload: Workload, body: int, parameters: Parameters, seed: int) -> tuple[_Part, ...]:
        """The runs on a body, in the order of execution; the calibration comes first, without a group."""
        return _laid_out(self, workload.groups, workload.shots, body, json.dumps(parameters), seed)

    def lay_out(self, groups: Sequence[Group], shots: int, body: int, parameters: Parameters, seed: int) -> Iterator[_Part]:
        """As `_plan`, made anew."""
        draw = np.random.default_rng([seed, body])
        fold: Fold = parameters.get("fold", "global")  # type: ignore[assignment]  # checked by scales_of
        everything = "".join("I" if set(letters) == {"I"} else "Z" for letters in zip(*(g.basis for g in groups), strict=True))
        yield 0, None, self.how.calibration(Run(body, shots, 0, everything), parameters, draw)
        for scale in self._scales(parameters):
            for group in groups:
                runs = self.how.runs(Run(body, shots, scale, group.basis, fold=fold), parameters, draw)
                for treatment in self.treatments:
                    runs = treatment.apply(runs, parameters, draw)
                yield scale, group, runs

    def _estimates(
        self,
        workload: Workload,
        plan: Sequence[_Part],
        remaining: Iterator[tuple[Mapping[str, int], float]],
        weights: Sequence[Floats],
    ) -> tuple[Estimate, ...]:
        calibration: Any = None
        samples: dict[float, list[Sample]] = {}
        for scale, group, runs in plan:
            counts, factors = zip(*(next(remaining) for _ in runs), strict=True) if runs else ((), ())
            if group is None:
                calibration = self.how.calibrate(runs, counts) if runs else None
            else:
                samples.setdefault(scale, []).append(Sample.of(group.qubits, runs, counts, factors))
        readings = [self.how.read(calibration, workload.groups, read, weights) for read in samples.values()]
        return tuple(self._estimate(workload, index, list(samples), readings) for index in range(len(workload.observables)))

    def _estimate(self, workload: Workload, index: int, scales: Sequence[float], readings: Sequence[Readings]) -> Estimate:
        observable = workload.observables[index]
        values = np.array([reading.values[index] for reading in readings])
        variances = np.array([reading.variances[index] for reading in readings])
        shared = np.array([reading.shared[index] for reading in readings])
        known = constant(observable)
        if self.extrapolation is None:
            result = Extrapolated(float(values[0]), np.ones(1))
        else:
            sigmas = np.sqrt(variances + np.square(shared).sum(axis=1))
            largest = bound(observable) - abs(known)
            result = EXTRAPOLATIONS[self.extrapolation](np.array(scales, dtype=float), values, sigmas, largest)
        variance = np.square(result.gradient) @ variances + np.square(result.gradient @ shared).sum()
        raw = None if self.treatments else known + float(readings[0].raw[index])  # treated circuits are not what was asked for
        return Estimate(known + result.value, float(np.sqrt(variance)), raw, result.note)


@lru_cache(maxsize=1024)
def _laid_out(method: Mitigated, groups: tuple[Group, ...], shots: int, body: int, parameters: str, seed: int) -> tuple[_Part, ...]:  # noqa: PLR0917
    """Remembered between the two steps of a method, since runs take longer to make than to count; parameters as JSON."""
    return tuple(method.lay_out(groups, shots, body, json.loads(parameters), seed))
