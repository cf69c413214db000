"""Crypto modes: which key-establishment suites satisfy which, and whether a route does, hop by hop to the backend itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

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


class Paths(Protocol):
    """Where paths are sought that no route names; `scheduler.network.Network` is one."""

    def __bool__(self) -> bool:
        """Whether there is any link."""

    def route(self, mode: CryptoMode, target: str) -> Route | None:
        """The shortest path to the target that satisfies the mode from end to end."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a backend can be reached under a mode.

    Attributes:
        route: the admissible route with the fewest hops, None if there is none.
        blocked: why there is none, a sentence for the endpoint, for each route and for the network's links.
        path: the nodes of the route, the control plane first; empty without one.
    """

    route: Route | None
    blocked: tuple[str, ...]
    path: tuple[str, ...] = ()


def access(mode: CryptoMode, calibration: CalibrationUpdated, network: Paths | None = None) -> Access:
    """The route that a job of this mode takes to the backend, or what blocks each.

    Candidates are the backend's named routes and the network's shortest path. Every mode wants a suite on every hop and one
    at the backend's own endpoint: a hop that is not QKD ends the guarantee, whatever the others do. Suites that are not in
    `SUITES` have no known property and satisfy nothing.
    """
    name = calibration.backend
    offers = satisfies(mode, calibration.crypto_suites)
    blocked = []
    if not offers:
        blocked.append(
            f"crypto mode {mode}: the endpoint of {name} offers no {_NAMES[mode]} suite, only {_listed(calibration.crypto_suites)}"
        )
    if not calibration.routes and not network:
        blocked.append(f"crypto mode {mode}: no route to {name} is known")
    admissible = []
    for route in calibration.routes:
        fault = _fault(mode, route, name)
        if fault is None:
            admissible.append(route)
        else:
            blocked.append(f"crypto mode {mode}: route {route.name} {fault}")
    if network:
        found = network.route(mode, name)
        if found is not None:
            admissible.append(found)
        else:
            blocked.append(f"crypto mode {mode}: no path of {_NAMES[mode]} links leads to {name} in the network")
    if not offers or not admissible:
        return Access(None, tuple(blocked))
    best = min(admissible, key=lambda route: (len(route.hops), route.name, str(route.hops)))
    return Access(best, (), (best.hops[0].source, *(hop.target for hop in best.hops)))


def satisfies(mode: CryptoMode, suites: Iterable[str]) -> bool:
    """Whether one of the suites has the property that the mode wants."""
    return any(name in SUITES and mode in SUITES[name].modes for name in suites)


def _fault(mode: CryptoMode, route: Route, backend: str) -> str | None:
    """What is wrong with a route, None if nothing is."""
    for hop, following in zip(route.hops, route.hops[1:], strict=False):
        if hop.target != following.source:
            return f"is broken: a hop ends at {hop.target}, the next begins at {following.source}"
    if route.hops[-1].target != backend:
        return f"ends at {route.hops[-1].target}, not at {backend}"
    for hop in route.hops:
        if not satisfies(mode, hop.suites):
            return f"has no {_NAMES[mode]} suite on the hop {hop.source} -> {hop.target}, only {_listed(hop.suites)}"
    return None


def _listed(suites: Sequence[str]) -> str:
    return ", ".join(suites) or "none at all"
