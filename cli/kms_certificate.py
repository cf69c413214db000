"""The platform's CA: its keys are in the token, and each certificate that it issues is an entry of the audit."""

from collections.abc import Callable

from cryptography import x509

from cli.kms_audit import record
from cli.token import open_or_make
from kms.keyring import KeyRing
from kms.keys import Key
from kms.tls.authority import CA_ALGORITHMS, CA_USE, Authority
from streams.settings import Settings

CA_FILE = "tls-ca.pem"
"""The CA certificates, in the platform's folder."""


def ca_ring(chosen: Settings) -> KeyRing:
    """The platform's key ring, with its token open."""
    return KeyRing.open(chosen.ring(), open_or_make(chosen)[0])


def authority(chosen: Settings, ring: KeyRing) -> Callable[[], Authority]:
    """An authority by the CA keys that are active at each call."""

    def issued(key: Key, certificate: x509.Certificate) -> None:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        detail = f"certificate {certificate.serial_number:x} for {', '.join(str(name.value) for name in names)}"
        record(chosen, ring, "issue", key=key.public, detail=detail)

    return lambda: Authority.open(chosen.home / CA_FILE, ring.ensure(CA_USE, CA_ALGORITHMS), issued)
