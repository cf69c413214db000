"""The gate as the settings have it: bearer tokens, client certificates and limits, the same for every service."""

from collections.abc import Callable, Sequence
from pathlib import Path

from api.authentication import Gate
from api.bearer import BearerTokens
from api.certificates import ClientCertificates
from api.errors import KeysUnreadable
from api.rate_limits import RateLimits
from api.watched_file import watched
from kms.errors import KmsError
from kms.keys import PublicKey
from kms.trust import TrustRoot
from streams.settings import Settings

_FAILURES_PER_SECOND, _FAILURES_BURST = 10.0, 200
"""Of an address: a signature costs a tenth of a millisecond to refuse, and behind one address may be many who are in order."""


def gate(settings: Settings, audience: str) -> Gate:
    """Whoever has a token for `audience`, or a certificate that stands for somebody, within the limits.

    Args:
        settings: where keys and clients are, and how often each may ask.
        audience: name of the service in tokens: `kms`, `policy`, `threat`.
    """
    keys = trusted_keys(settings.api_keys or settings.home / "trust.json")
    ways = (
        BearerTokens(settings.origin, audience, keys),
        ClientCertificates.of(settings.api_clients or settings.home / "clients.json"),
    )
    return Gate(ways, RateLimits(settings.api_rate, settings.api_burst), RateLimits(_FAILURES_PER_SECOND, _FAILURES_BURST))


def trusted_keys(file: Path) -> Callable[[], Sequence[PublicKey]]:
    """The keys of a trust root, read again when the file changes: each `quantumai kms` command that changes a key writes it."""

    def read(file: Path) -> Sequence[PublicKey]:
        try:
            return TrustRoot.load(file).keys
        except (KmsError, OSError) as error:
            raise KeysUnreadable(f"bearer tokens cannot be verified: {error}") from error

    return watched(file, read, tuple)
