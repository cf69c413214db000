"""Suites as people ask for them, ML-KEM:ML-DSA: which algorithms that means, and whether they are what a trust root demands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kms.algorithms import LOG_SUITES, SIGNATURES, encapsulation, signature_algorithm
from kms.errors import MissingSuite, UnknownAlgorithm

FAMILIES: Mapping[str, str] = MappingProxyType(
    {"ML-KEM": "ML-KEM-768", "ML-DSA": "ML-DSA-65", "SLH-DSA": "SLH-DSA-SHA2-192s"}  # security category 3, as all of our own keys
)
CLASSICAL = next(name for name in LOG_SUITES if SIGNATURES[name].classical)


@dataclass(frozen=True, slots=True)
class Suites:
    """The algorithms of a manifest.

    Attributes:
        asked: as it was asked for.
        kem: key encapsulation of the run's data.
        signatures: what must sign the manifest: one classical and one post-quantum algorithm.
    """

    asked: str
    kem: str
    signatures: tuple[str, ...]


def suites(asked: str) -> Suites:
    """The algorithms of KEM:SIGNATURE, families (ML-KEM, ML-DSA, SLH-DSA) or parameter sets; a classical signature comes beside.

    Raises:
        UnknownAlgorithm: not two names, or one that is not known, or a classical one.
    """
    kem, colon, signature = asked.partition(":")
    if not colon:
        raise UnknownAlgorithm(f"{asked!r} is no suite: write KEM:SIGNATURE, as ML-KEM:ML-DSA or ML-KEM-1024:ML-DSA-87")
    kem, signature = (FAMILIES.get(name, name) for name in (kem, signature))
    encapsulation(kem)
    if signature_algorithm(signature).classical:
        known = ", ".join(name for name, row in SIGNATURES.items() if not row.classical)
        raise UnknownAlgorithm(f"{signature} is not post-quantum; a classical signature is made beside it anyway; known: {known}")
    return Suites(asked, kem, (CLASSICAL, signature))


def check_suites(signed: Sequence[str], required: Sequence[str], what: str) -> None:
    """Does nothing where each required suite is among the signed ones, or one of its kind (classical or not) that is as strong.

    Raises:
        MissingSuite: one is not; it is named.
        UnknownAlgorithm: an algorithm that is not in the table.
    """
    rows = [signature_algorithm(name) for name in signed]
    for name in required:
        wanted = signature_algorithm(name)
        if not any(row.classical == wanted.classical and row.bits >= wanted.bits for row in rows):
            raise MissingSuite(
                f"{what} demands {' and '.join(signed) or 'no suite'}; the policy requires {name} or as strong a one"
            )
