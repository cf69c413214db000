"""Threat patterns as subgroup discovery: which conjunction of conditions describes attacks best? QAOA against exact search.

A pattern is a set of selectors (conditions on one feature each), its quality the weighted relative accuracy (Lavrac et al. 1999),
coverage x (share of threats - share of threats overall). All 2^n patterns are enumerated by one superset-sum transform; beam search
and random sampling are the controls. QAOA (Farhi et al. 2014, arXiv:1411.4028) sees the quality to second order, as an Ising model
that a device can run; what it samples is judged by the true quality. The form is that of arXiv 2604.27153.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from scipy.optimize import minimize

from threat.errors import DataError
from threat.vqc.circuit import Floats
from threat.vqc.labelled import Labelled

MAX_SELECTORS = 20
SHOTS = 100
BEAM = 5

PUBLISHED: Mapping[int, tuple[float, float]] = {10: (0.990, 0.951), 15: (0.954, 0.873), 18: (0.947, 0.801)}
"""A prototype's best of 100 over the optimum, by selectors: QAOA with p = 1, and random sampling."""

Patterns = NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """Selectors, and the quality of every pattern of them.

    Attributes:
        selectors: in words; selector k is bit k of a pattern.
        quality: (2^n,) weighted relative accuracy; the empty pattern covers all and has 0.
    """

    selectors: tuple[str, ...]
    quality: Floats

    @property
    def size(self) -> int:
        """How many selectors."""
        return len(self.selectors)

    def words(self, pattern: int) -> str:
        """A pattern, readable."""
        return " and ".join(self.selectors[bit] for bit in range(self.size) if pattern >> bit & 1) or "everything"


def problem(events: Labelled, selectors: int) -> Problem:
    """The best single conditions of labelled events as selectors, at most two of a feature.

    Raises:
        DataError: fewer conditions than asked for, or more than can be enumerated.
    """
    if not 2 <= selectors <= MAX_SELECTORS:
        raise DataError(f"2 to {MAX_SELECTORS} selectors can be enumerated, got {selectors}")
    found = []
    for name, values in zip(events.columns, events.features.T, strict=True):
        cuts = np.unique(np.quantile(values[~np.isnan(values)], (0.25, 0.5, 0.75, 0.9)))
        each = [(f"{name} > {cut:.4g}", values > cut) for cut in cuts] + [(f"{name} <= {cut:.4g}", values <= cut) for cut in cuts]
        scored = [(_single(held, events.labels), words, held) for words, held in each if 0 < held.mean() < 1]
        found += sorted(scored, key=lambda item: -item[0])[:2]
    found = sorted(found, key=lambda item: -item[0])[:selectors]
    if len(found) < selectors:
        raise DataError(f"the events offer {len(found)} conditions, {selectors} were asked for")
    return Problem(tuple(words for _, words, _ in found), qualities(np.array([held for _, _, held in found]).T, events.labels))


def qualities(held: NDArray[np.bool_], labels: Floats) -> Floats:
    """(2^n,) from (events, n) which selector holds where: counts of supersets, one selector after another."""
    size = held.shape[1]
    masks = held @ (1 << np.arange(size))
    covered, threats = (np.bincount(masks, weights, 2**size).astype(float) for weights in (np.ones(len(masks)), labels))
    for counts in (covered, threats):
        for bit in range(size):
            shaped = counts.reshape(-1, 2, 2**bit)
            shaped[:, 0] += shaped[:, 1]
    return np.asarray((threats - covered * labels.mean()) / len(labels))


def beam(found: Problem, width: int = BEAM) -> int:
    """The best pattern met by keeping the `width` best of each size."""
    kept, best = [0], 0
    for _ in range(found.size):
        wider = {pattern | 1 << bit for pattern in kept for bit in range(found.size) if not pattern >> bit & 1}
        kept = sorted(wider, key=lambda pattern: -found.quality[pattern])[:width]
        best = max([best, *kept], key=lambda pattern: float(found.quality[pattern]))
    return best


@dataclass(frozen=True)
class Ising:
    """Quality to second order: sum of `single` x_i + sum over i < j of `pair` x_i x_j, x in {0, 1}."""

    single: Floats
    pair: Floats

    @classmethod
    def of(cls, found: Problem) -> "Ising":
        """From the qualities of all single and double patterns, scaled to 1."""
        ones = 1 << np.arange(found.size)
        single = found.quality[ones]
        pair = np.triu(found.quality[ones[:, None] | ones] - single[:, None] - single, 1)
        scale = max(float(np.abs(single).max()), float(np.abs(pair).max()))
        return cls(single / scale, pair / scale)

    def energies(self) -> Floats:
        """(2^n,)."""
        size = len(self.single)
        bits = ((np.arange(2**size)[:, None] >> np.arange(size)) & 1).astype(float)
        return np.asarray(bits @ self.single + ((bits @ self.pair) * bits).sum(axis=1))

    def circuit(self, gamma: float, beta: float) -> QuantumCircuit:
        """One round: phases exp(i gamma energy), up to a global one, then RX(2 beta) on every qubit."""
        size = len(self.single)
        circuit = QuantumCircuit(size)
        circuit.h(range(size))
        for qubit in range(size):
            circuit.p(gamma * self.single[qubit], qubit)
        for first, second in zip(*np.nonzero(self.pair), strict=True):
            circuit.cp(gamma * self.pair[first, second], int(first), int(second))
        circuit.rx(2 * beta, range(size))
        return circuit


def amplitudes(energies: Floats, gamma: float, beta: float) -> NDArray[np.complex128]:
    """(2^n,): the state of `Ising.circuit`."""
    state = np.exp(1j * gamma * energies) / np.sqrt(len(energies))
    bit = 1
    while bit < len(energies):
        shaped = state.reshape(-1, 2, bit)
        state = (np.cos(beta) * shaped - 1j * np.sin(beta) * shaped[:, ::-1]).reshape(-1)
        bit *= 2
    return np.asarray(state)


def qaoa(found: Problem) -> Floats:
    """(2^n,) chances of one round's samples, its angles maximising the expected energy (grid, then Nelder and Mead)."""
    energies = Ising.of(found).energies()

    def expected(angles: Floats) -> float:
        return -float(np.abs(amplitudes(energies, *angles)) ** 2 @ energies)

    grid = [np.array([gamma, beta]) for gamma in np.linspace(0.2, 3, 8) for beta in np.linspace(-1.4, 1.4, 8)]
    gamma, beta = minimize(expected, min(grid, key=expected), method="Nelder-Mead", options={"maxiter": 40}).x
    chances = np.abs(amplitudes(energies, gamma, beta)) ** 2
    return np.asarray(chances / chances.sum())


@dataclass(frozen=True, slots=True)
class Line:
    """One size: quality over the optimum, best of `shots` samples, means of all draws.

    Attributes:
        best: the optimum, exact.
    """

    selectors: int
    best: str
    optimum: float
    beam: float
    qaoa: float
    random: float


def compare(events: Labelled, selectors: int, *, shots: int = SHOTS, draws: int = 10, seed: int = 0) -> Line:
    """Exact, beam search, QAOA and random sampling on one problem."""
    found = problem(events, selectors)
    top = int(np.argmax(found.quality))
    optimum, draw = float(found.quality[top]), np.random.default_rng(seed)
    chances = {"qaoa": qaoa(found), "random": np.full(2**selectors, 0.5**selectors)}
    ratios = {name: _best_of(found.quality, chance, shots, draws, draw) / optimum for name, chance in chances.items()}
    return Line(selectors, found.words(top), optimum, float(found.quality[beam(found)]) / optimum, **ratios)


def _best_of(quality: Floats, chances: Floats, shots: int, draws: int, draw: np.random.Generator) -> float:
    """The mean, over draws, of the best quality among as many samples as shots."""
    samples = draw.choice(len(chances), size=(draws, shots), p=chances)
    return float(quality[samples].max(axis=1).mean())


def _single(held: NDArray[np.bool_], labels: Floats) -> float:
    return float((labels[held] - labels.mean()).sum() / len(labels))
