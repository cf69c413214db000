"""The uses of keys by a signer, some seconds' together in one entry a key: each single one stands in the log that it signed."""

import logging
from collections.abc import Sequence

from kms.audit.trail import Trail
from kms.errors import KmsError
from kms.keys import PublicKey
from schemas.manifests import KmsAudit

_LOG = logging.getLogger(__name__)


class Uses:
    """Takes what `kms.in_force.KeysInForce` has counted; a callable.

    An audit that cannot be written does not stop the signer, whose every signature is public in `log.checkpoint`; it is logged.

    Args:
        trail: where they are recorded.
        actor: who used the keys.
    """

    def __init__(self, trail: Trail, actor: str) -> None:
        self._trail, self._actor = trail, actor

    def __call__(self, used: Sequence[tuple[PublicKey, int]]) -> None:
        """Writes one entry a key, and seals them."""
        try:
            self._trail.append(*(self._entry(key, times) for key, times in used))
            self._trail.seal()
        except KmsError as error:
            _LOG.error("the uses of keys are not in the audit: %s", error)

    def _entry(self, key: PublicKey, times: int) -> KmsAudit:
        detail = f"{key.label}: {times:,} signatures"
        return KmsAudit(kid=key.kid, actor=self._actor, action="sign", outcome="SUCCESS", algorithm=key.algorithm, detail=detail)
