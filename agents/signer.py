"""Signs manifests in batches: manifest.requested in, manifest.signed and log.checkpoint out; one log per partition."""

from collections.abc import Callable
from functools import cache

from kms.algorithms import LOG_SUITES
from kms.anchor import ANCHOR_ALGORITHM, ANCHOR_USE, AnchoredLogs
from kms.audit.logins import refused_logins
from kms.audit.trail import AUDIT_USE, Trail
from kms.audit.uses import Uses
from kms.epochs import Policy
from kms.in_force import KeysInForce
from kms.keyring import KeyRing
from kms.keys import LOG_USE, Key
from kms.signing import LogSigner
from kms.token import open_token
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from streams.agent import Agent
from streams.errors import SettingsError
from streams.settings import Settings
from streams.views import LastHeld

_ACTOR = "agent:signer"


def build(settings: Settings) -> Agent:
    """The signer agent. The partition's transactional producer is the log's only writer, so no log can fork.

    Raises:
        SettingsError: no PKCS#11 module or no PIN is set.
    """
    checkpoints = LastHeld(LogCheckpoint)
    ring = _ring(settings)
    keys, policy = _in_force(settings, ring, checkpoints.records)
    signer = LogSigner(keys, settings.origin, checkpoints.last, policy=policy)

    def start() -> None:
        """Makes what keys are missing: that of the anchors, too, so that the first trust root has it."""
        ring().ensure(ANCHOR_USE, (ANCHOR_ALGORITHM,))
        keys()

    anchored = AnchoredLogs(signer, ring, checkpoints.last, settings.anchor_seconds)
    return Agent(
        "signer",
        reads=[ManifestRequested],
        writes=[ManifestSigned, LogCheckpoint],
        same_partition=[ManifestSigned, LogCheckpoint],
        views=[checkpoints],
        handle=signer.sign,
        batch=True,
        linger=0.03,  # two signatures and a transaction for each batch: thirty a second and log are enough
        offload=True,
        tick=anchored.heartbeat,
        every=1.0,  # a new policy epoch is in every log so soon, also where nothing is to be signed
        tick_subject=_said,
        start=start,
    )


def _said(record: ManifestSigned | LogCheckpoint) -> tuple[str, str]:
    return record.log_id, str(record.index) if isinstance(record, ManifestSigned) else record.signed_at.isoformat()


def _ring(settings: Settings) -> Callable[[], KeyRing]:
    """Opens the token and the key ring when first called: a PKCS#11 module must not be loaded before a fork."""

    @cache
    def ring() -> KeyRing:
        if settings.pkcs11_module is None:
            raise SettingsError("no PKCS#11 module is set: `quantumai up` sets it, a container needs QUANTUMAI_PKCS11_MODULE")
        with refused_logins(settings.home, settings.origin, _ACTOR):
            token = open_token(settings.pkcs11_module, settings.token_label, settings.pin())
        return KeyRing.open(settings.ring(), token)

    return ring


def _in_force(
    settings: Settings, ring: Callable[[], KeyRing], heads: Callable[[], list[LogCheckpoint]]
) -> tuple[Callable[[], list[Key]], Callable[[], Policy]]:
    """Keys and policy."""

    @cache
    def in_force() -> KeysInForce:
        audit = Trail(settings.home, settings.origin, _ACTOR, KeysInForce(ring(), AUDIT_USE, LOG_SUITES))
        return KeysInForce(
            ring(),
            LOG_USE,
            LOG_SUITES,
            heads,
            lambda trust: trust.save(settings.home / "trust.json"),
            used=Uses(audit, _ACTOR),
        )

    def keys() -> list[Key]:
        return in_force()()

    def policy() -> Policy:
        return in_force().policy()

    return keys, policy
