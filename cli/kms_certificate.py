"""The certificate of the key service, from the platform's CA."""

from collections.abc import Callable, Sequence

from cli.kms_audit import record
from cli.tls import CA_FILE
from cli.token import open_or_make
from kms.keyring import KeyRing
from kms.tls.authority import CA_ALGORITHMS, CA_USE, LEAF_LIFETIME, Authority
from kms.tls.leaves import Credential
from streams.settings import Settings

LIFETIME = LEAF_LIFETIME
ALGORITHM = "ECDSA-P256"
"""What Python's own ssl module can serve with on every OpenSSL; `quantumai tls server --forward` brings hybrid TLS in front."""


def issuer(chosen: Settings, names: Sequence[str]) -> Callable[[], Credential]:
    """Makes a key in memory and a certificate for it; each is an entry of the audit."""
    token, _ = open_or_make(chosen)
    ring = KeyRing.open(chosen.ring(), token)

    def issue() -> Credential:
        authority = Authority.open(chosen.home / CA_FILE, ring.ensure(CA_USE, CA_ALGORITHMS))
        made = authority.issue(ALGORITHM, names)
        by = authority.keys["ECDSA-P384"].public
        record(chosen, ring, "issue", key=by, detail=f"certificate {made.certificate.serial_number:x} for {', '.join(names)}")
        return made

    return issue
