"""The key service: its faces behind the gate, its token, key ring and audit while it serves."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from api.application import Checks, application
from api.door import gate
from api.key_store import TRUST, open_or_make
from api.kms_audit import audit, entry
from api.kms_keys import keys
from api.kms_manifests import manifests
from api.kms_operations import operations
from api.problems import Statuses
from api.requests import Access
from kms.algorithms import LOG_SUITES
from kms.audit.forwarding import forward
from kms.audit.sealing import Sealer
from kms.audit.trail import AUDIT_USE, Trail
from kms.errors import KmsError, NotInForce, UnknownKey, WrongTransition
from kms.in_force import KeysInForce
from kms.keyring import KeyRing
from kms.token import Token
from schemas.manifests import KmsAudit
from streams.client import Client
from streams.errors import EventTooLargeError, StreamsError
from streams.settings import STATE_FILE, Settings

AUDIENCE = "kms"
WRITER = "system:kms-service"

_STATUSES: Statuses = {UnknownKey: 404, NotInForce: 409, WrongTransition: 409, EventTooLargeError: 413, StreamsError: 503}
_FORWARD_SECONDS = 1.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kms:
    """What is open while the service serves."""

    settings: Settings
    token: Token
    ring: KeyRing
    trail: Trail
    sealer: Sealer
    client: Client

    def publish(self) -> None:
        """Brings the trust root up to date, from which verifiers and this service's own gate take their keys."""
        self.ring.public().save(self.settings.home / TRUST)


def publishes(settings: Settings) -> bool:
    """Whether a broker is configured: named by the settings, or started in the platform's folder."""
    return "brokers" in settings.model_fields_set or (settings.home / STATE_FILE).exists()


def service(settings: Settings) -> FastAPI:
    """The application; nothing is opened before it starts to serve."""
    app: FastAPI

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.kms = opened = await run_in_threadpool(_open, settings)
        with opened.sealer:
            forwarding = asyncio.create_task(_forward(opened)) if publishes(settings) else None
            try:
                yield
            finally:
                if forwarding is not None:
                    forwarding.cancel()
                    with suppress(asyncio.CancelledError):
                        await forwarding
                await opened.client.__aexit__(None, None, None)

    async def record(access: Access) -> None:
        await run_in_threadpool(app.state.kms.trail.append, entry(access))

    checks: Checks = {
        "token": lambda: app.state.kms.token.device(),  # noqa: PLW0108 - there is none before it serves
        "key ring": lambda: app.state.kms.ring.revision(),  # noqa: PLW0108
        "audit": lambda: app.state.kms.sealer.check(),  # noqa: PLW0108
    }
    app = application(
        "QuantumAI key service",
        (keys, operations, manifests, audit),
        gate(settings, AUDIENCE),
        statuses=_STATUSES,
        checks=checks,
        record=record,
        lifespan=lifespan,
    )
    return app


def _open(settings: Settings) -> Kms:
    token, _ = open_or_make(settings)
    ring = KeyRing.open(settings.ring(), token)
    in_force = KeysInForce(ring, AUDIT_USE, LOG_SUITES, publish=lambda trust: trust.save(settings.home / TRUST))
    in_force()
    trail = Trail(settings.home, settings.origin, WRITER, in_force)
    trail.append(KmsAudit(kid="none", actor=WRITER, action="start", outcome="SUCCESS", algorithm="", detail="the service starts"))
    return Kms(settings, token, ring, trail, Sealer(trail), Client(settings, source="/kms"))


async def _forward(kms: Kms) -> None:
    """Sends the audit on to its topic, second by second; a broker that is away gets everything when it is back."""
    loop, failed = asyncio.get_running_loop(), False

    def send(entries: Sequence[KmsAudit]) -> None:
        asyncio.run_coroutine_threadsafe(kms.client.publish_audit(*entries), loop).result()

    while True:
        try:
            await run_in_threadpool(forward, kms.settings.home, send)
            failed = False
        except (StreamsError, KmsError) as error:
            if not failed:
                _LOG.warning("the audit is not published, which is tried again: %s", error)
            failed = True
        await asyncio.sleep(_FORWARD_SECONDS)
