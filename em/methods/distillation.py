"""Virtual distillation: two noisy copies say what one purer copy would. Huggins et al. 2021, arXiv:2011.07064; Koczor 2021.

With S swapping the copies, Tr(P rho^2) = <P1 S> and Tr(rho^2) = <S> on two copies of rho; their ratio lies nearer to the ideal
value than Tr(P rho) wherever noise scatters rho over states that are orthogonal to the ideal one. S is read pair by pair in the
Bell basis (-1 on the singlet alone). P1 S, for P turned to Z's, has i y on a pair of odd parity, y being what the first
qubit of the pair reads in the Y basis.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from qiskit import QuantumCircuit, transpile

from backends.adapter import Run
from backends.qasm import MAX_QUBITS, take_apart
from em.circuits import CircuitFeatures, parse
from em.errors import JobInvalidError, MitigationFailedError
from em.methods.method import Cost, Estimate, Gates, Workload
from em.methods.raw import RawReader
from em.methods.samples import Floats, Sample
from em.near_clifford import written
from em.observables import constant, support
from schemas.mitigation import Parameters

_LEAST_SIGNIFICANCE = 3.0  # of Tr(rho^2): below, the ratio has no finite error


@dataclass(frozen=True)
class VirtualDistillation:
    """A `Method` of two copies: a circuit for the purity and one for each Pauli string, beside the raw runs.

    It does not help against readout errors, which the twice as many qubits that are read make worse, nor against coherent errors,
    which leave a pure but wrong state; and its last gates (one cx for each pair, three where the string acts) are noisy, too.
    """

    name: ClassVar[str] = "vd"
    version: ClassVar[str] = "1"
    reader: ClassVar[str] = "raw"
    extrapolation: ClassVar[str | None] = None
    gates: ClassVar[Gates] = "distilled"

    def parameters(self, given: Parameters) -> Parameters:
        """See `Method.parameters`: there are none."""
        if given:
            raise JobInvalidError(f"the method 'vd' has no parameter {min(given)!r}; it has none")
        return {}

    def width(self, circuit: CircuitFeatures) -> int:
        """See `Method.width`: two copies."""
        return 2 * circuit.qubits

    def cost(self, workload: Workload, given: Parameters) -> Cost:
        """See `Method.cost`."""
        return Cost.of(self.circuits(workload, given, seed=0), workload)

    def bodies(self, workload: Workload, given: Parameters, seed: int) -> tuple[str, ...]:
        """See `Method.bodies`: after the workload's own, for each of them the purity's and one for each Pauli string."""
        if not workload.sources:
            raise JobInvalidError("the method 'vd' builds circuits of two copies and needs the circuits' sources")
        return (*workload.sources, *(doubled(source, pauli) for source in workload.sources for pauli in ("", *_paulis(workload))))

    def circuits(self, workload: Workload, given: Parameters, seed: int) -> tuple[Run, ...]:
        """See `Method.circuits`."""
        self.parameters(given)
        if not workload.observables:
            raise JobInvalidError("a job without observables returns counts, which the method 'vd' cannot; ask for 'raw'")
        width = len(workload.observables[0].terms[0].pauli)
        if 2 * width > MAX_QUBITS:
            raise JobInvalidError(f"the method 'vd' needs twice the circuit's {width} qubits, at most {MAX_QUBITS} can be run")
        return tuple(run for circuit in range(workload.circuits) for run in _layout(workload, circuit))

    def combine(
        self,
        workload: Workload,
        given: Parameters,
        seed: int,
        counts: Sequence[Mapping[str, int]],
        weights: Sequence[float] = (),
    ) -> tuple[tuple[Estimate, ...], ...]:
        """See `Method.combine`.

        Raises:
            MitigationFailedError: the purity cannot be told from zero.
        """
        self.parameters(given)
        remaining = iter(counts)
        return tuple(_estimates(workload, circuit, remaining) for circuit in range(workload.circuits))


@lru_cache(maxsize=1024)
def doubled(source: str, pauli: str) -> str:
    """Two copies of a circuit and the change of basis in which P1 S is read (S alone for no Pauli string), OpenQASM 3.

    Raises:
        JobInvalidError: the source does not parse.
    """
    body = take_apart(parse(source)).body
    width = body.num_qubits
    circuit = QuantumCircuit(2 * width)
    acting = support(pauli)
    for start in (0, width):
        circuit.compose(body, range(start, start + width), inplace=True)
        for qubit in acting:
            if pauli[-1 - qubit] == "X":
                circuit.h(start + qubit)
            elif pauli[-1 - qubit] == "Y":
                circuit.sx(start + qubit)
    for qubit in range(width):
        circuit.cx(qubit, width + qubit)
        if qubit in acting:
            circuit.csx(width + qubit, qubit)
        else:
            circuit.h(qubit)
    return written(transpile(circuit, basis_gates=["rz", "sx", "x", "cx"], optimization_level=1, seed_transpiler=0))


def _paulis(workload: Workload) -> tuple[str, ...]:
    return tuple(pauli for group in workload.groups for pauli in group.paulis)


def _layout(workload: Workload, circuit: int) -> Iterator[Run]:
    """The raw runs, the purity's run, and those of the Pauli strings."""
    for group in workload.groups:
        yield Run(circuit, workload.shots, basis=group.basis)
    paulis = _paulis(workload)
    first = workload.circuits + circuit * (len(paulis) + 1)
    for body in range(first, first + len(paulis) + 1):
        yield Run(body, workload.shots, basis="ZZ" * len(workload.groups[0].basis))


def _estimates(workload: Workload, circuit: int, remaining: Iterator[Mapping[str, int]]) -> tuple[Estimate, ...]:
    runs = list(_layout(workload, circuit))
    seen = [next(remaining) for _ in runs]
    paulis, split = _paulis(workload), len(workload.groups)
    samples = [Sample.of(group.qubits, [run], [counts]) for group, run, counts in zip(workload.groups, runs, seen, strict=False)]
    parts = [_part(pauli, run, counts) for pauli, run, counts in zip(("", *paulis), runs[split:], seen[split:], strict=True)]
    (purity, spread), *numerators = parts
    if purity < _LEAST_SIGNIFICANCE * np.sqrt(spread):
        raise MitigationFailedError(
            f"the purity {purity:.3f} +- {np.sqrt(spread):.3f} of circuit {circuit} cannot be told from zero: "
            "virtual distillation does not apply, or needs more shots"
        )
    tops, variances = np.array(numerators).reshape(-1, 2).T
    terms = workload.terms()
    raw = RawReader().read(None, workload.groups, samples, terms).values
    every = np.concatenate(terms, axis=1)
    values = every @ tops / purity
    errors = np.sqrt(np.square(every / purity) @ variances + np.square(values / purity) * spread)
    return tuple(
        Estimate(constant(observable) + float(value), float(error), constant(observable) + float(plain))
        for observable, value, error, plain in zip(workload.observables, values, errors, raw, strict=True)
    )


def _part(pauli: str, run: Run, counts: Mapping[str, int]) -> tuple[float, float]:
    """The mean of P1 S (of S for no string) and its variance."""
    sample = Sample.of(support(run.basis), [run], [counts])
    width = len(run.basis) // 2
    first, second = sample.outcomes[:, :width], sample.outcomes[:, width:]
    acting = np.isin(np.arange(width), support(pauli))
    swap = np.where((first < 0) & (second < 0), -1.0, 1.0)
    values: Floats = np.real(np.where(acting, np.where(second < 0, 1j * first, first), swap).prod(axis=1))
    return float(sample.mean(values)), float(sample.shot_variance(values[None, :])[0])
