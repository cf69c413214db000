"""What a mitigation method is: two pure steps, so that what lies between can be batched, sent away, cached or replayed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backends.adapter import Run
from backends.forecast import Forecast
from em.circuits import CircuitFeatures
from em.observables import Group, coefficients, grouped
from schemas.jobs import JobRequested, Observable
from schemas.mitigation import Parameters

Gates: TypeAlias = Literal["", "extrapolated", "cancelled", "learned", "distilled"]


@dataclass(frozen=True, slots=True)
class Workload:
    """What a job asks for, as far as methods care.

    Attributes:
        circuits: how many.
        observables: each is estimated on every circuit; none: the job wants counts.
        groups: what is measured on every circuit; none for counts.
        shots: per circuit and group, before mitigation.
        sources: the circuits, OpenQASM 3; only methods that build circuits of their own from them need them.
        forecasts: of each run, as in `backends.adapter.Result`; known to `Method.combine` alone, where the runs asked for them.
    """

    circuits: int
    observables: tuple[Observable, ...]
    groups: tuple[Group, ...]
    shots: int
    sources: tuple[str, ...] = ()
    forecasts: tuple[Forecast | None, ...] = ()

    @classmethod
    def of(cls, job: JobRequested) -> Self:
        """The workload of a job.

        Raises:
            JobInvalidError: the observables do not fit each other.
        """
        return cls(len(job.circuits), job.observables, grouped(job.observables), job.shots, job.circuits)

    def terms(self) -> list[NDArray[np.float64]]:
        """For each group (observables, paulis of the group): the coefficients."""
        summed = [coefficients(observable) for observable in self.observables]
        return [np.array([[each.get(pauli, 0.0) for pauli in group.paulis] for each in summed]) for group in self.groups]

    @property
    def asked_shots(self) -> int:
        """All shots of a run without mitigation."""
        return self.circuits * max(1, len(self.groups)) * self.shots


@dataclass(frozen=True, slots=True)
class Cost:
    """What a method spends on a workload, calibration and folded circuits included.

    Attributes:
        circuits: sent to the backend.
        shots: all of them.
        overhead: `shots` / the shots of a run without mitigation, >= 1.
        shots_by_scale: scale factor -> shots; 0 for calibration circuits, which take no gate time.
    """

    circuits: int
    shots: int
    overhead: float
    shots_by_scale: Mapping[float, int]

    @classmethod
    def of(cls, runs: Sequence[Run], workload: Workload) -> Self:
        """What runs cost, in place of the workload's own."""
        by_scale: dict[float, int] = {}
        for run in runs:
            by_scale[run.scale] = by_scale.get(run.scale, 0) + run.shots
        shots = sum(by_scale.values())
        return cls(len(runs), shots, shots / workload.asked_shots, by_scale)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mitigated expectation value.

    Attributes:
        value: <O>, in units of the observable.
        standard_error: one standard deviation of `value`, >= 0, from shots, calibration and extrapolation together.
        raw_value: what the same run says without mitigation; None where no unmitigated circuit was run.
        note: what the method had to do otherwise than asked, in a sentence; mostly empty.
        abstained: whether another method's answer stands in, since this one does not know such circuits.
    """

    value: float
    standard_error: float
    raw_value: float | None
    note: str = ""
    abstained: bool = False


class Method(Protocol):
    """A way to estimate observables on a noisy device."""

    @property
    def name(self) -> str:
        """The key in `METHODS`."""

    @property
    def version(self) -> str:
        """Changes whenever the same counts would give another estimate, or the same job other circuits."""

    @property
    def reader(self) -> str:
        """How readout errors are treated: `raw`, `readout`, `correlated` or `trex`."""

    @property
    def extrapolation(self) -> str | None:
        """How gate noise is extrapolated to none: a key of `em.methods.zne.EXTRAPOLATIONS`, or None if it is not."""

    @property
    def gates(self) -> Gates:
        """What is done about gate noise, in a word."""

    def parameters(self, given: Parameters) -> Parameters:
        """The given parameters, checked, with defaults for the others.

        Raises:
            JobInvalidError: a parameter that the method does not have, or a value that it cannot take.
        """

    def width(self, circuit: CircuitFeatures) -> int:
        """Working qubits that a device must have for the method on this circuit."""

    def cost(self, workload: Workload, given: Parameters) -> Cost:
        """What the method would spend. Raises JobInvalidError like `circuits`."""

    def bodies(self, workload: Workload, given: Parameters, seed: int) -> tuple[str, ...]:
        """The circuits that the runs execute, OpenQASM 3: the workload's own first, then those that the method builds."""

    def circuits(self, workload: Workload, given: Parameters, seed: int) -> tuple[Run, ...]:
        """The runs to execute, on `bodies` with the same arguments. Pure: the same arguments give the same runs.

        Raises:
            JobInvalidError: bad parameters, or a job for counts and a method that needs observables.
        """

    def combine(
        self,
        workload: Workload,
        given: Parameters,
        seed: int,
        counts: Sequence[Mapping[str, int]],
        weights: Sequence[float] = (),
    ) -> tuple[tuple[Estimate, ...], ...]:
        """Estimates by circuit and observable, from the counts of exactly the runs of `circuits` with the same arguments.

        `weights` are those of `backends.adapter.Result`.

        Raises:
            MitigationFailedError: the counts allow no estimate.
        """
