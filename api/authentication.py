"""The gate: who calls is found out, limited, and admitted where the endpoint demands one of its roles. Nobody else is."""

import ipaddress
import logging
import math
from collections.abc import Sequence
from typing import Protocol

from fastapi import Request

from api.problems import Problem
from api.rate_limits import RateLimits, Refusal
from api.roles import Principal, Role

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="quantumai"'}
_STRANGERS = "requests without valid credentials from this address"
_LOG = logging.getLogger(__name__)


class Authentication(Protocol):
    """One way to prove who one is."""

    def __call__(self, request: Request) -> Principal | None:
        """Who calls, by its credentials of this kind; None where there are none.

        Raises:
            Problem: 401, they prove nothing.
            OutageError: they cannot be checked now.
        """
        ...


class Gate:
    """Admits or refuses.

    Args:
        ways: of authentication; the first whose credentials are there decides.
        limits: of each principal.
        failures: of each address, for requests that prove nothing: checking a signature costs time.
    """

    def __init__(self, ways: Sequence[Authentication], limits: RateLimits, failures: RateLimits) -> None:
        self._ways, self._limits, self._failures = ways, limits, failures

    async def admit(self, request: Request, roles: frozenset[Role]) -> None:
        """Sets `request.state.principal`.

        Raises:
            Problem: 401 unknown, 403 without any of the roles or where the way is open to be read, 429 too often.
            OutageError: credentials cannot be checked now.
        """
        if _in_the_open(request):
            raise Problem(403, "plain HTTP is served at the loopback address only, or tokens would be read on the way: use TLS")
        address = _address(request)
        self._check(request, self._failures.look(address), _STRANGERS)
        try:
            principal = self._authenticated(request)
        except Problem as refused:
            self._failures.take(address)
            _LOG.info("request %s from %s: %s", request.state.request_id, address, refused.detail)
            raise
        request.state.principal = principal
        self._check(request, self._limits.take(principal.name), f"requests by {principal.name}")
        if not roles & principal.roles:
            wanted, has = " or ".join(sorted(roles)), ", ".join(sorted(principal.roles)) or "none"
            raise Problem(403, f"this takes the role {wanted}; {principal.name} has {has}")

    def stray(self, request: Request) -> None:
        """Counts a request for what is not there as one that proves nothing: it must not fill the record either.

        Raises:
            Problem: 429 too often.
        """
        self._check(request, self._failures.take(_address(request)), _STRANGERS)

    def _authenticated(self, request: Request) -> Principal:
        for way in self._ways:
            if (found := way(request)) is not None:
                return found
        raise Problem(401, "no credentials: send a bearer token (`quantumai token issue`) or a client certificate", _CHALLENGE)

    @staticmethod
    def _check(request: Request, refusal: Refusal | None, what: str) -> None:
        if refusal is not None:
            request.state.recorded = refusal.first
            seconds = math.ceil(refusal.seconds)
            raise Problem(429, f"too many {what}: wait {seconds} s", {"Retry-After": str(seconds)})


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _in_the_open(request: Request) -> bool:
    """Whether the request came unencrypted to an address that other machines reach."""
    if request.url.scheme == "https":
        return False
    try:
        here = ipaddress.ip_address((request.scope.get("server") or ("",))[0])
    except ValueError:
        return False  # a UNIX socket
    mapped = getattr(here, "ipv4_mapped", None)
    return not (mapped or here).is_loopback
