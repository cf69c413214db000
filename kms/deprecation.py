"""How long each algorithm may be used, by NIST IR 8547 (initial public draft, November 2024), tables 2 to 5; and what breaks it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kms.algorithms import ALGORITHMS


@dataclass(frozen=True, slots=True)
class Deadline:
    """What becomes of an algorithm.

    Attributes:
        vulnerable: a quantum computer that runs Shor's algorithm breaks it.
        deprecated: year after which it is deprecated; None: it is not.
        disallowed: year after which it is disallowed.
        category: NIST's security category, 1 to 5; 0 for none.
    """

    vulnerable: bool
    deprecated: int | None = None
    disallowed: int | None = None
    category: int = 0

    @property
    def says(self) -> str:
        """In words; empty where there is no deadline."""
        if self.disallowed is None:
            return ""
        deprecated = f"deprecated after {self.deprecated}, " if self.deprecated else ""
        return f"quantum-vulnerable; {deprecated}disallowed after {self.disallowed} (NIST IR 8547, draft)"


_DEPRECATED_BITS = 112
_CATEGORIES = {128: 1, 192: 3, 256: 5}

GROUPS: Mapping[str, int] = MappingProxyType({"X25519": 128, "secp256r1": 128, "secp384r1": 192, "RSA-2048": 112})
"""Classical algorithms that are not in our table of keys -> their strength in bits."""
HYBRIDS: Mapping[str, str] = MappingProxyType({"X25519MLKEM768": "ML-KEM-768"})
"""Hybrid groups -> the post-quantum part that they stand on."""


def deadline(name: str) -> Deadline:
    """The deadlines of an algorithm or TLS group; none for symmetric algorithms of 128 bits and more."""
    row = ALGORITHMS.get(HYBRIDS.get(name, name))
    bits = GROUPS.get(name) if row is None else row.bits if row.classical else None
    if bits is not None:
        return Deadline(True, 2030 if bits <= _DEPRECATED_BITS else None, 2035)
    return Deadline(False, category=_category(name, row.bits) if row else 0)


def _category(name: str, bits: int) -> int:
    return 2 if name == "ML-DSA-44" else _CATEGORIES[bits]  # FIPS 204 table 1
