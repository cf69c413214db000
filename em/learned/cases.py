"""What forests are fitted to and measured on: circuits of a setting, each on a device of its own, with its own shots."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Protocol

import numpy as np
from qiskit import qasm3

from backends import qasm
from backends.device import Device
from em.families import FAMILIES, Instance
from em.families.family import exact, observable, pauli
from em.families.molecules import hamiltonian
from em.families.vqe import ansatz
from em.learned.devices import Drawn, Noise, snapshot
from em.observables import coefficients

SHOTS = (2_000, 4_000, 10_000, 20_000)
"""That training draws from."""


CALIBRATIONS = 4
"""Drifted calibrations of each device, for one seed."""


class Made(Protocol):
    """What a device can be made of."""

    def device(self) -> Device:
        """The device."""

    def twirled(self) -> Device:
        """The device as it is on average over Pauli twirls."""


@dataclass(frozen=True, slots=True)
class Case:
    """A circuit on a device.

    Attributes:
        setting: a key of `SETTINGS`.
        instance: the circuit, its observables and their exact values.
        drawn: what it runs on.
        shots: per group of observables.
        seed: of the shots.
    """

    setting: str
    instance: Instance
    drawn: Made
    shots: int
    seed: int


Draw = Callable[[int, int], Instance]
"""(number, seed) -> a circuit."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A kind of circuit under a kind of noise.

    Attributes:
        draw: circuits to measure on.
        train: circuits to learn from.
        target: the error of linear extrapolation / the model's, in Liao et al. 2024; None where they have none.
    """

    draw: Draw
    train: Draw
    noise: Noise
    target: float | None


def cases(
    settings: Mapping[str, Setting],
    circuits: range,
    devices: Sequence[str],
    seed: int,
    *,
    copies: int = 1,
    shots: Sequence[int] = SHOTS,
    train: bool = False,
) -> Iterator[Case]:
    """These circuits of each setting, each on `copies` devices; another seed gives other circuits, calibrations and shots.

    Settings that differ in their noise alone share circuits.
    """
    for number in circuits:
        drawn: dict[Draw, Instance] = {}
        for name, setting in settings.items():
            how = setting.train if train else setting.draw
            instance = drawn[how] if how in drawn else drawn.setdefault(how, how(number, seed))
            draw = np.random.default_rng([seed, number, train, *name.encode()])
            fitting = [device for device in devices if len(snapshot(device).qubits) >= instance.qubits]
            for _ in range(copies):
                device = Drawn(str(draw.choice(fitting)), setting.noise, seed * CALIBRATIONS + int(draw.integers(1, CALIBRATIONS)))
                yield Case(name, instance, device, int(draw.choice(shots)), int(draw.integers(2**31)))


def _family(name: str, qubits: int | None = None, depths: Sequence[int] | None = None) -> Draw:
    def draw(number: int, seed: int) -> Instance:
        depth = None if depths is None else depths[number % len(depths)]
        return FAMILIES[name].instance(number, seed, qubits, depth)

    return draw


def _widened(draw: Draw) -> Draw:
    """The same circuits, with Z and ZZ on all qubits and pairs as observables: more to learn from one simulation."""

    def wider(number: int, seed: int) -> Instance:
        found = draw(number, seed)
        known = {string for each in found.observables for string in coefficients(each)}
        places = [{qubit: "Z"} for qubit in range(found.qubits)]
        places += [{first: "Z", second: "Z"} for first, second in combinations(range(found.qubits), 2)]
        strings = known | {pauli(found.qubits, place) for place in places}
        return _with(found, sorted(strings))

    return wider


def _with(instance: Instance, strings: Sequence[str]) -> Instance:
    asked = tuple(observable(string, {string: 1.0}) for string in strings)
    values = exact(qasm.program(instance.source).body, asked)
    return Instance(instance.family, instance.source, asked, values, instance.qubits, instance.depth, instance.two_qubit_gates)


def _off_the_optimum(number: int, seed: int) -> Instance:
    """The ansatz of `vqe` with random angles: what an optimiser asks for on its way, never its end."""
    draw = np.random.default_rng([seed, number, *b"ansatz"])
    qubits, depth = int(draw.choice((2, 4))), int(draw.choice((1, 2)))
    angles = draw.uniform(-np.pi, np.pi, (depth + 1, qubits))
    if draw.random() < 0.7:  # near determinants, where optima are
        angles = np.round(angles / np.pi) * np.pi + draw.normal(0, 0.3, angles.shape)
    circuit, energy = ansatz(angles), hamiltonian({2: "h2", 4: "lih"}[qubits])
    pairs = sum(len(item.qubits) == 2 for item in circuit.data)
    found = Instance("vqe", qasm3.dumps(circuit), (energy,), (0.0,), qubits, depth, pairs)
    return _with(found, sorted(coefficients(energy)))


_RANDOM, _VQE = _family("random"), _family("vqe")
_ISING, _LONG = _family("ising", 4, range(1, 15)), _family("ising", 4, range(15, 30))

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "random": Setting(_RANDOM, _widened(_RANDOM), "gates", 1.5),
        "random + readout": Setting(_RANDOM, _widened(_RANDOM), "readout", None),
        "ising": Setting(_ISING, _widened(_ISING), "gates", 2.8),
        "ising + readout": Setting(_ISING, _widened(_ISING), "readout", 4.0),
        "ising + coherent": Setting(_ISING, _widened(_ISING), "coherent", 3.8),
        "vqe": Setting(_VQE, _off_the_optimum, "readout", 6.5),
    }
)
"""What is learned. Readout errors come with `readout` and `coherent`, as on real devices."""

OUTSIDE: Mapping[str, Setting] = MappingProxyType(
    {
        "ising, steps 15-29": Setting(_LONG, _LONG, "readout", None),
        "ising, steps 15-29 + coherent": Setting(_LONG, _LONG, "coherent", None),
        **{
            name: Setting(_family(name), _family(name), "readout", None)
            for name in ("heisenberg", "qaoa", "ghz", "mirror", "h2-dynamics", "lih-dynamics")
        },
    }
)
"""What is not: the authors' range, and our families that nothing was fitted to."""
