"""`python -m benchmarks.molecules`: writes em/families/data/*.json, Hamiltonians of molecules from nothing but the STO-3G basis.

Integrals over Gaussians by the recursions of McMurchie and Davidson (1978), restricted Hartree-Fock (Roothaan 1951), an active
space with a frozen core, and the Jordan-Wigner mapping, for some followed by parity reduction (Bravyi et al. 2017,
arXiv:1701.08213). Everything is compared with published energies, in `tests/em/test_families.py` and on the screen.
"""

import json
from functools import cache
from itertools import product
from math import exp, pi, sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import Clifford, PauliList, SparsePauliOp
from scipy.special import hyp1f1

BOHR = 0.529177210903  # angstrom, CODATA 2018
DATA = Path(__file__).resolve().parents[1] / "em" / "families" / "data"

# Hehre, Stewart, Pople 1969 (doi:10.1063/1.1672392), as the Basis Set Exchange prints them: exponents, then contractions
_S1 = (0.15432897, 0.53532814, 0.44463454)
_S2, _P2 = (-0.09996723, 0.39951283, 0.70011547), (0.15591627, 0.60768372, 0.39195739)
SHELLS = {
    "H": (((3.42525091, 0.62391373, 0.16885540), _S1, 0),),
    "Li": (
        ((16.1195750, 2.9362007, 0.7946505), _S1, 0),
        ((0.6362897, 0.1478601, 0.0480887), _S2, 0),
        ((0.6362897, 0.1478601, 0.0480887), _P2, 1),
    ),
    "O": (
        ((130.7093200, 23.8088610, 6.4436083), _S1, 0),
        ((5.0331513, 1.1695961, 0.3803890), _S2, 0),
        ((5.0331513, 1.1695961, 0.3803890), _P2, 1),
    ),
}
CHARGES = {"H": 1, "Li": 3, "O": 8}


class Molecule(NamedTuple):
    """Atoms in bohr, the frozen and the active orbitals (by energy, from 0), and the mapping."""

    name: str
    formula: str
    geometry: str
    atoms: tuple[tuple[str, tuple[float, float, float]], ...]
    frozen: tuple[int, ...]
    active: tuple[int, ...]
    reduced: bool
    published: dict[str, float | str]


class Primitive(NamedTuple):
    """A Cartesian Gaussian without its weight."""

    exponent: float
    powers: tuple[int, ...]
    centre: np.ndarray


class Orbital(NamedTuple):
    """A contracted Cartesian Gaussian."""

    centre: np.ndarray
    powers: tuple[int, int, int]
    exponents: tuple[float, ...]
    weights: tuple[float, ...]


MOLECULES = (
    Molecule(
        "h2",
        "H2",
        "0.735 angstrom",
        (("H", (0, 0, 0)), ("H", (0, 0, 0.735 / BOHR))),
        (),
        (0, 1),
        True,
        {"energy": -1.137306, "source": "full configuration interaction, STO-3G: Qiskit Nature's ground state tutorial"},
    ),
    Molecule(
        "lih",
        "LiH",
        "1.45 angstrom",
        (("H", (0, 0, 0)), ("Li", (0, 0, 1.45 / BOHR))),
        (0,),
        (1, 2),
        False,
        {"energy": -7.862773, "source": "OpenFermion's demonstration, arXiv:1710.07629: the same geometry, basis and active space"},
    ),
    Molecule(
        "h2o",
        "H2O",
        "R(OH) = 1.1 angstrom, 104 degrees",
        (
            ("O", (0.0, -0.143225816552, 0.0)),
            ("H", (1.638036840407, 1.136548822547, 0.0)),
            ("H", (-1.638036840407, 1.136548822547, 0.0)),
        ),
        (0, 1, 2),
        (3, 4, 5),
        True,
        {"hartree_fock": -74.942079928192, "source": "Crawford's programming projects, project 3: the same geometry and basis"},
    ),
)


def orbitals(molecule: Molecule) -> list[Orbital]:
    made = []
    for atom, place in molecule.atoms:
        for exponents, contraction, angular in SHELLS[atom]:
            for powers in [(0, 0, 0)] if angular == 0 else [(1, 0, 0), (0, 1, 0), (0, 0, 1)]:
                norms = [(2 * a / pi) ** 0.75 * (4 * a) ** (angular / 2) for a in exponents]
                weights = tuple(c * n for c, n in zip(contraction, norms, strict=True))
                made.append(Orbital(np.array(place, dtype=float), powers, exponents, weights))
    return made


@cache
def hermite(i: int, j: int, t: int, *, distance: float, a: float, b: float) -> float:
    """Coefficient of the Hermite Gaussian t in the product of two Gaussians of powers i and j."""
    p, q = a + b, a * b / (a + b)

    def lower(i: int, j: int, t: int) -> float:
        return hermite(i, j, t, distance=distance, a=a, b=b)

    if t < 0 or t > i + j:
        return 0.0
    if i == j == t == 0:
        return exp(-q * distance**2)
    if j == 0:
        return lower(i - 1, j, t - 1) / (2 * p) - q * distance / a * lower(i - 1, j, t) + (t + 1) * lower(i - 1, j, t + 1)
    return lower(i, j - 1, t - 1) / (2 * p) + q * distance / b * lower(i, j - 1, t) + (t + 1) * lower(i, j - 1, t + 1)


def boys(t: int, u: int, v: int, n: int, *, p: float, gap: np.ndarray) -> float:
    """The Hermite Coulomb integral R^n_tuv."""
    if min(t, u, v) < 0:
        return 0.0
    if t == u == v == 0:
        return (-2 * p) ** n * float(hyp1f1(n + 0.5, n + 1.5, -p * float(gap @ gap))) / (2 * n + 1)
    if t:
        return (t - 1) * boys(t - 2, u, v, n + 1, p=p, gap=gap) + gap[0] * boys(t - 1, u, v, n + 1, p=p, gap=gap)
    if u:
        return (u - 1) * boys(t, u - 2, v, n + 1, p=p, gap=gap) + gap[1] * boys(t, u - 1, v, n + 1, p=p, gap=gap)
    return (v - 1) * boys(t, u, v - 2, n + 1, p=p, gap=gap) + gap[2] * boys(t, u, v - 1, n + 1, p=p, gap=gap)


def overlap(one: Primitive, two: Primitive) -> float:
    if min(two.powers) < 0:
        return 0.0
    weights = [gaussians(one, two, axis, 0) for axis in range(3)]
    return (pi / (one.exponent + two.exponent)) ** 1.5 * float(np.prod(weights))


def gaussians(one: Primitive, two: Primitive, axis: int, t: int) -> float:
    distance = float(one.centre[axis] - two.centre[axis])
    return hermite(one.powers[axis], two.powers[axis], t, distance=distance, a=one.exponent, b=two.exponent)


def kinetic(one: Primitive, two: Primitive) -> float:
    def shifted(axis: int, by: int) -> float:
        powers = tuple(two.powers[k] + (by if k == axis else 0) for k in range(3))
        return overlap(one, two._replace(powers=powers))

    b = two.exponent
    total = b * (2 * sum(two.powers) + 3) * overlap(one, two)
    for k in range(3):
        total -= 2 * b**2 * shifted(k, 2) + 0.5 * two.powers[k] * (two.powers[k] - 1) * shifted(k, -2)
    return total


def hermites(one: Primitive, two: Primitive):
    """(powers, coefficient) of each Hermite Gaussian in a product of two Gaussians."""
    for powers in product(*(range(i + j + 1) for i, j in zip(one.powers, two.powers, strict=True))):
        weight = float(np.prod([gaussians(one, two, axis, powers[axis]) for axis in range(3)]))
        if weight:
            yield powers, weight


def contracted(one: Orbital, two: Orbital):
    """Each pair of primitives, its weight, the sum of exponents and the centre of the product."""
    for (a, wa), (b, wb) in product(zip(one.exponents, one.weights, strict=True), zip(two.exponents, two.weights, strict=True)):
        middle = (a * one.centre + b * two.centre) / (a + b)
        yield Primitive(a, one.powers, one.centre), Primitive(b, two.powers, two.centre), wa * wb, a + b, middle


def attraction(one: Orbital, two: Orbital, molecule: Molecule) -> float:
    total = 0.0
    for a, b, weight, p, middle in contracted(one, two):
        for atom, place in molecule.atoms:
            for powers, e in hermites(a, b):
                total -= CHARGES[atom] * weight * 2 * pi / p * e * boys(*powers, 0, p=p, gap=middle - np.array(place))
    return total


def repulsion(one: Orbital, two: Orbital, three: Orbital, four: Orbital) -> float:
    total = 0.0
    for a, b, left, p, first in contracted(one, two):
        bra = list(hermites(a, b))
        for c, d, right, q, second in contracted(three, four):
            front = left * right * 2 * pi**2.5 / (p * q * sqrt(p + q))
            for (powers, e), (other, f) in product(bra, list(hermites(c, d))):
                sums = [x + y for x, y in zip(powers, other, strict=True)]
                total += front * e * f * (-1) ** sum(other) * boys(*sums, 0, p=p * q / (p + q), gap=first - second)
    return total


def integrals(molecule: Molecule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlap, one-electron and two-electron (chemists' order) integrals over normalised atomic orbitals."""
    basis = orbitals(molecule)
    n = len(basis)

    def one(function) -> np.ndarray:
        return np.array([[sum(w * function(a, b) for a, b, w, _, _ in contracted(x, y)) for y in basis] for x in basis])

    s, core = one(overlap), one(kinetic) + np.array([[attraction(x, y, molecule) for y in basis] for x in basis])
    two = np.zeros((n,) * 4)
    for i, j, k, m in product(range(n), repeat=4):
        if i >= j and k >= m and (i, j) >= (k, m):
            value = repulsion(basis[i], basis[j], basis[k], basis[m])
            for p, q, r, t in ((i, j, k, m), (k, m, i, j)):
                two[p, q, r, t] = two[q, p, r, t] = two[p, q, t, r] = two[q, p, t, r] = value
    scale = 1 / np.sqrt(np.diag(s))
    return s * np.outer(scale, scale), core * np.outer(scale, scale), np.einsum("ijkl,i,j,k,l->ijkl", two, *[scale] * 4)


def hartree_fock(s: np.ndarray, core: np.ndarray, two: np.ndarray, electrons: int) -> tuple[float, np.ndarray]:
    """Electronic energy and orbitals (columns), by plain iteration."""
    values, vectors = np.linalg.eigh(s)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    density, energy = np.zeros_like(s), float("inf")
    for _ in range(500):
        fock = core + np.einsum("pqrs,rs->pq", two, density) - 0.5 * np.einsum("prqs,rs->pq", two, density)
        _, turned = np.linalg.eigh(root @ fock @ root)
        found = root @ turned
        previous, energy = energy, 0.5 * float(np.sum(density * (core + fock)))
        density = 2 * found[:, : electrons // 2] @ found[:, : electrons // 2].T
        if abs(energy - previous) < 1e-13:
            return energy, found
    raise RuntimeError("Hartree-Fock did not converge")


def annihilators(modes: int) -> list[SparsePauliOp]:
    """Jordan-Wigner."""
    made = []
    for mode in range(modes):
        rest = "I" * (modes - mode - 1)
        made.append(SparsePauliOp([rest + "X" + "Z" * mode, rest + "Y" + "Z" * mode], [0.5, 0.5j]))
    return made


def second_quantised(constant: float, one: np.ndarray, two: np.ndarray, interleaved: bool) -> SparsePauliOp:
    """Spin orbitals: all up, then all down; or up and down in turn, as OpenFermion counts them."""
    n = len(one)
    lower = annihilators(2 * n)
    upper = [operator.adjoint() for operator in lower]
    place = (lambda k, spin: 2 * k + spin) if interleaved else (lambda k, spin: k + n * spin)
    terms = [SparsePauliOp(["I" * 2 * n], [constant])]
    for p, q, spin in product(range(n), range(n), range(2)):
        terms.append(one[p, q] * upper[place(p, spin)] @ lower[place(q, spin)])
    for p, q, r, t, a, b in product(range(n), range(n), range(n), range(n), range(2), range(2)):
        if abs(two[p, q, r, t]) > 1e-12 and (place(p, a) != place(r, b)) and (place(q, a) != place(t, b)):
            pair = upper[place(p, a)] @ upper[place(r, b)] @ lower[place(t, b)] @ lower[place(q, a)]
            terms.append(0.5 * two[p, q, r, t] * pair)
    return SparsePauliOp.sum(terms).simplify(1e-10)


def parity_reduced(operator: SparsePauliOp, up: int, down: int) -> SparsePauliOp:
    """Without the two qubits that hold the parity of the spin-up electrons and of all electrons."""
    n = operator.num_qubits
    chain = QuantumCircuit(n)
    for qubit in range(n - 1):
        chain.cx(qubit, qubit + 1)
    paulis: PauliList = operator.paulis.evolve(Clifford(chain), frame="s")
    signs = {n // 2 - 1: (-1) ** up, n - 1: (-1) ** (up + down)}
    labels, weights = [], []
    for pauli, weight in zip(paulis, operator.coeffs, strict=True):
        text, sign = pauli.to_label(), 1
        if text[0] == "-":
            text, sign = text[1:], -1
        letters = text[::-1]
        if any(letters[qubit] not in "IZ" for qubit in signs):
            raise RuntimeError(f"{text} does not conserve the number of electrons")
        for qubit, value in signs.items():
            sign *= value if letters[qubit] == "Z" else 1
        labels.append("".join(letter for qubit, letter in enumerate(letters) if qubit not in signs)[::-1])
        weights.append(sign * weight)
    return SparsePauliOp(labels, weights).simplify(1e-10)


def hamiltonian(molecule: Molecule) -> tuple[SparsePauliOp, float]:
    """The Hamiltonian, nuclear repulsion included, and the Hartree-Fock energy; in hartree."""
    electrons = sum(CHARGES[atom] for atom, _ in molecule.atoms)
    places = [(CHARGES[atom], np.array(place, dtype=float)) for atom, place in molecule.atoms]
    nuclear = sum(za * zb / float(np.linalg.norm(a - b)) for i, (za, a) in enumerate(places) for zb, b in places[:i])
    s, core, two = integrals(molecule)
    energy, found = hartree_fock(s, core, two, electrons)
    one = found.T @ core @ found
    two = np.einsum("pqrs,pi,qj,rk,sl->ijkl", two, *[found] * 4, optimize=True)
    inner, active = list(molecule.frozen), np.array(molecule.active)
    constant = nuclear + 2 * sum(one[i, i] for i in inner)
    constant += sum(2 * two[i, i, j, j] - two[i, j, j, i] for i in inner for j in inner)
    mean = one + sum((2 * two[:, :, i, i] - two[:, i, i, :] for i in inner), np.zeros_like(one))
    one, two = mean[np.ix_(active, active)], two[np.ix_(active, active, active, active)]
    operator = second_quantised(float(constant), one, two, interleaved=not molecule.reduced)
    half = electrons // 2 - len(inner)
    return (parity_reduced(operator, half, half) if molecule.reduced else operator), energy + float(nuclear)


def content(molecule: Molecule) -> dict[str, object]:
    operator, energy = hamiltonian(molecule)
    terms = sorted(zip(operator.paulis.to_labels(), operator.coeffs.real.round(12).tolist(), strict=True))
    return {
        "molecule": molecule.formula,
        "geometry": molecule.geometry,
        "basis": "STO-3G (Hehre, Stewart, Pople 1969, doi:10.1063/1.1672392)",
        "space": f"orbitals {list(molecule.active)} by energy, {list(molecule.frozen)} frozen",
        "mapping": "parity, two qubits removed by symmetry" if molecule.reduced else "Jordan-Wigner, spins in turn",
        "source": "python -m benchmarks.molecules",
        "published": molecule.published,
        "hartree_fock_energy": round(energy, 10),
        "ground_energy": round(float(np.linalg.eigvalsh(operator.to_matrix())[0]), 10),
        "unit": "hartree",
        "terms": dict(terms),
    }


def main() -> None:
    for molecule in MOLECULES:
        made = content(molecule)
        (DATA / f"{molecule.name}.json").write_text(json.dumps(made, indent=1) + "\n")
        print({name: value for name, value in made.items() if name != "terms"}, len(made["terms"]), made["terms"].get("IIII"))


if __name__ == "__main__":
    main()
