"""Families of circuits with observables and exact values: what mitigation methods are measured on.

| family | circuits | observables |
|---|---|---|
| `random` | random rotations and CX | Z of one qubit, ZZ of two |
| `mirror` | Clifford layers and their inverse | agreement with the one right bit string, parity |
| `ghz` | GHZ states | ZZ of neighbours, X...X |
| `ising`, `heisenberg` | spin chains after a quench | (staggered) magnetisation, ZZ in the middle |
| `h2-dynamics`, `lih-dynamics`, `h2o-dynamics` | Trotterised molecules | mean Z, ZZ |
| `vqe` | optimised ansatz of H2 and LiH | energy |
| `qaoa` | MaxCut on 3-regular graphs | expected cut |
"""

from collections.abc import Mapping
from types import MappingProxyType

from em.families import ghz, mirror, molecules, qaoa, random_circuits, spin_chains, vqe
from em.families.family import Family, Instance

_ALL = (
    random_circuits.FAMILY,
    mirror.FAMILY,
    ghz.FAMILY,
    spin_chains.ISING,
    spin_chains.HEISENBERG,
    *molecules.FAMILIES,
    vqe.FAMILY,
    qaoa.FAMILY,
)

FAMILIES: Mapping[str, Family] = MappingProxyType({family.name: family for family in _ALL})

__all__ = ["FAMILIES", "Family", "Instance"]
