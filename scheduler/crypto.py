"""Crypto modes: which key-establishment suites satisfy which, and whether a route does, hop by hop to the backend itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from schemas.calibration import CalibrationUpdated, Route
from schemas.jobs import CryptoMode


@dataclass(frozen=True, slots=True)
class Suite:
    """A key-establishment suite.

    Attributes:
        modes: the modes that it satisfies; `any` is satisfied by every suite.
        standard: where it is defined.
    """

    modes: frozenset[CryptoMode]
    standard: str


_CLASSICAL = frozenset[CryptoMode]({"any"})
_PQC = frozenset[CryptoMode]({"any", "pqc"})
_QKD = frozenset[CryptoMode]({"any", "qkd"})  # a key from physics is no post-quantum algorithm: `pqc` asks for one

SUITES: Mapping[str, Suite] = MappingProxyType(
    {
        "X25519": Suite(_CLASSICAL, "RFC 7748"),
        "X448": Suite(_CLASSICAL, "RFC 7748"),
        "secp256r1": Suite(_CLASSICAL, "FIPS 186-5, SP 800-56A"),
        "secp384r1": Suite(_CLASSICAL, "FIPS 186-5, SP 800-56A"),
        "X25519MLKEM768": Suite(_PQC, "draft-ietf-tls-ecdhe-mlkem"),
        "SecP256r1MLKEM768": Suite(_PQC, "draft-ietf-tls-ecdhe-mlkem"),
        "SecP384r1MLKEM1024": Suite(_PQC, "draft-ietf-tls-ecdhe-mlkem"),
        "ML-KEM-512": Suite(_PQC, "FIPS 203"),
        "ML-KEM-768": Suite(_PQC, "FIPS 203"),
        "ML-KEM-1024": Suite(_PQC, "FIPS 203"),
        "QKD-BB84": Suite(_QKD, "ETSI GS QKD 014"),
        "QKD-E91": Suite(_QKD, "ETSI GS QKD 014"),
        "QKD-CV": Suite(_QKD, "ETSI GS QKD 014"),
    }
)

_NAMES: Mapping[CryptoMode, str] = MappingProxyType({"any": "known", "pqc": "post-quantum", "qkd": "QKD"})


@dataclass(frozen=True, slots=True)
class Access:
    """How a backend can be reached under a mode.

    Attributes:
        route: the admissible route with the fewest hops, None if there is none.
        blocked: why there is none, a sentence for the endpoint and for each route.
    """

    route: Route | None
    blocked: tuple[str, ...]


def access(mode: CryptoMode, calibration: CalibrationUpdated) -> Access:
    """The route that a job of this mode takes to the backend, or what blocks each.

    Every mode wants a suite on every hop and one at the backend's own endpoint: a hop that is not QKD ends the guarantee,
    whatever the others do. Suites that are not in `SUITES` have no known property and satisfy nothing.
    """
    name = calibration.backend
    blocked = []
    if not _satisfies(mode, calibration.crypto_suites):
        blocked.append(
            f"crypto mode {mode}: the endpoint of {name} offers no {_NAMES[mode]} suite, only {_listed(calibration.crypto_suites)}"
        )
    if not calibration.routes:
        blocked.append(f"crypto mode {mode}: no route to {name} is known")
    admissible = []
    for route in sorted(calibration.routes, key=lambda route: (len(route.hops), route.name, route.hops)):
        fault = _fault(mode, route, name)
        if fault is None:
            admissible.append(route)
        else:
            blocked.append(f"crypto mode {mode}: route {route.name} {fault}")
    offers = _satisfies(mode, calibration.crypto_suites)
    return Access(admissible[0], ()) if offers and admissible else Access(None, tuple(blocked))


def _fault(mode: CryptoMode, route: Route, backend: str) -> str | None:
    """What is wrong with a route, None if nothing is."""
    for hop, following in zip(route.hops, route.hops[1:], strict=False):
        if hop.target != following.source:
            return f"is broken: a hop ends at {hop.target}, the next begins at {following.source}"
    if route.hops[-1].target != backend:
        return f"ends at {route.hops[-1].target}, not at {backend}"
    for hop in route.hops:
        if not _satisfies(mode, hop.suites):
            return f"has no {_NAMES[mode]} suite on the hop {hop.source} -> {hop.target}, only {_listed(hop.suites)}"
    return None


def _satisfies(mode: CryptoMode, suites: Iterable[str]) -> bool:
    return any(name in SUITES and mode in SUITES[name].modes for name in suites)


def _listed(suites: Sequence[str]) -> str:
    return ", ".join(suites) or "none at all"
