"""Roles, who has them, and how an endpoint says which it demands. What says nothing cannot exist."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from api.errors import RolesUndeclared

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Role(StrEnum):
    """What a principal may be."""

    ADMIN = "admin"
    """Makes keys, rotates, retires and destroys them."""
    SIGNER = "signer"
    """Uses private keys: sign, decapsulate, ask for manifests."""
    AUDITOR = "auditor"
    """Reads everything that is public or recorded, and changes nothing."""
    PRODUCER = "producer"
    """Sends events: jobs, threats."""
    READER = "reader"
    """Reads results, recommendations and findings."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    Attributes:
        name: in audits and limits; unique over all ways of authentication.
        roles: what it may be.
        by: how it was authenticated, `bearer` or `certificate`, and by which.
    """

    name: str
    roles: frozenset[Role]
    by: str


PUBLIC: frozenset[Role] = frozenset()


def allow(first: Role, *others: Role) -> Callable[[Endpoint], Endpoint]:
    """Declares who may call an endpoint: whoever has one of the roles. Stands below the route."""
    return _declare(frozenset((first, *others)))


def public(endpoint: Endpoint) -> Endpoint:
    """Declares that anybody may call an endpoint, and that its calls are not recorded."""
    return _declare(PUBLIC)(endpoint)


def _declare(roles: frozenset[Role]) -> Callable[[Endpoint], Endpoint]:
    def declared(endpoint: Endpoint) -> Endpoint:
        endpoint.__roles__ = roles  # type: ignore[attr-defined]
        return endpoint

    return declared


class GuardedRoute(APIRoute):
    """A route that admits its caller before anything of the request is looked at, its body not excepted.

    Raises:
        RolesUndeclared: the endpoint has neither `@allow` nor `@public`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **how: Any) -> None:
        roles = getattr(endpoint, "__roles__", None)
        if roles is None:
            name = f"{endpoint.__module__}.{endpoint.__qualname__}"
            raise RolesUndeclared(f"{path} ({name}) does not say who may call it: put @allow(Role.…) or @public below its route")
        self.roles: frozenset[Role] = roles
        extra = dict(how.pop("openapi_extra", None) or {})
        if roles:
            extra |= {"security": [{"bearer": []}, {"certificate": []}], "x-roles": sorted(roles)}
        super().__init__(path, endpoint, openapi_extra=extra, **how)

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler behind the gate."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            state = request.state
            state.guarded, state.route, state.facts = True, self.name, {}
            if self.roles:
                await request.app.state.gate.admit(request, self.roles)
            else:
                state.recorded = False
            return await handle(request)

        return guarded


class Face(APIRouter):
    """The endpoints of one concern: a router whose routes are guarded.

    Args:
        prefix: of the paths, `/api/v1/kms`.
        tag: what they are listed under in OpenAPI.
    """

    def __init__(self, prefix: str, tag: str) -> None:
        super().__init__(prefix=prefix, tags=[tag], route_class=GuardedRoute)


def _principal(request: Request) -> Principal:
    return request.state.principal  # type: ignore[no-any-return]


def _facts(request: Request) -> dict[str, str]:
    return request.state.facts  # type: ignore[no-any-return]


Who = Annotated[Principal, Depends(_principal)]
"""The parameter of an endpoint that is who calls."""

Facts = Annotated[dict[str, str], Depends(_facts)]
"""The parameter of an endpoint that takes what the record of the request should say: `kid`, `algorithm`, `detail`."""
