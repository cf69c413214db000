"""The certificate authority: two roots, one classical and one post-quantum, whose private keys stay in the token."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kms.keys import SLACK, Key
from kms.tls.errors import AuthorityError
from kms.tls.leaves import Credential, algorithm_of, alternative_names, leaf
from kms.tls.policies import Policy
from kms.tls.token_keys import issuer
from kms.whole_file import write_whole
from schemas.record import now

CA_USE = "tls-ca"
CA_ALGORITHMS = ("ECDSA-P384", "ML-DSA-65")
"""What `KeyRing.ensure` is asked for: a key of each makes an authority."""

ROOT_LIFETIME = timedelta(days=5 * 365)
LEAF_LIFETIME = timedelta(hours=24)
"""So short that a stolen key is soon worthless, without revocation lists."""

Issued = Callable[[Key, x509.Certificate], None]


class Authority:
    """Issues certificates of servers by keys of a token.

    Args:
        keys: the token's keys, one per algorithm of `CA_ALGORITHMS`.
        roots: certificates that these keys have already; those that are missing are made.
        issued: told of each certificate that is issued to a server, and by which key, before it is handed out.

    Raises:
        UnknownAlgorithm: a CA has no keys of an algorithm.
        TokenError: the token refuses.
    """

    def __init__(
        self, keys: Sequence[Key], roots: Sequence[x509.Certificate] = (), issued: Issued = lambda _key, _made: None
    ) -> None:
        self._issued = issued
        self.keys = {key.public.algorithm: key for key in keys}
        known = {spki(root): root for root in roots if root.not_valid_after_utc > now() + LEAF_LIFETIME}
        self.roots = {name: known.get(key.public.spki) or _root(key) for name, key in self.keys.items()}

    @classmethod
    def open(cls, file: Path, keys: Sequence[Key], issued: Issued = lambda _key, _made: None) -> "Authority":
        """The authority whose root certificates are in a PEM file, which clients need; written where one is missing.

        Roots of earlier keys stay in the file until they expire, so that clients know them while their certificates are in use.

        Raises:
            AuthorityError: the file is there and is no PEM file of certificates.
            TokenError: the token refuses.
        """
        there = read_roots(file) if file.exists() else []
        made = cls(keys, there, issued)
        new = [root for root in made.roots.values() if root not in there]
        if new:
            kept = [root for root in there if root.not_valid_after_utc > now()]
            _write(file, [*kept, *new])
        return made

    def issue(self, algorithm: str, names: Sequence[str], lifetime: timedelta = LEAF_LIFETIME) -> Credential:
        """A new key of a server, in memory, and its certificate, signed in the token.

        Args:
            algorithm: of `kms.tls.leaves.LEAVES`.
            names: DNS names and IP addresses that clients connect to.
            lifetime: of the certificate; it never outlives the root.

        Raises:
            UnknownAlgorithm: servers have no keys of it.
            WrongName: a name that is neither, or none.
            TokenError: the token refuses.
        """
        row = leaf(algorithm)
        root, private = self.roots[row.authority], row.generate()
        end = min(now() + lifetime, root.not_valid_after_utc)
        builder = _certificate(root.subject, x509.Name([]), private.public_key(), end)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage("digital_signature"), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (alternative_names(names), True),  # critical where the subject is empty, RFC 5280 section 4.2.1.6
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), False),  # type: ignore[arg-type]
            (x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical)
        made = builder.sign(*issuer(self.keys[row.authority]))
        self._issued(self.keys[row.authority], made)
        return Credential(made, private)


def read_roots(file: Path) -> list[x509.Certificate]:
    """The CA certificates in a PEM file.

    Raises:
        AuthorityError: it is not there, or is no PEM file of certificates.
    """
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except FileNotFoundError:
        raise AuthorityError(
            f"there are no CA certificates at {file}: `quantumai tls server` writes them; copy them here"
        ) from None
    except (OSError, ValueError) as error:
        raise AuthorityError(f"{file} is no PEM file of certificates: {error}") from error


def trusted(policy: Policy, roots: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Those of the roots that a client under a policy trusts.

    Raises:
        AuthorityError: there is none.
    """
    found = [root for root in roots if algorithm_of(root) in policy.roots]
    if not found:
        wanted, there = " or ".join(policy.roots), ", ".join(map(algorithm_of, roots)) or "none"
        raise AuthorityError(f"policy {policy.name} trusts CA certificates of {wanted}; there are: {there}")
    return found


def spki(certificate: x509.Certificate) -> bytes:
    """The public key of a certificate, DER."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _root(key: Key) -> x509.Certificate:
    private, hashed = issuer(key)
    common = f"TLS CA {key.public.algorithm} {key.public.kid[:16]}"
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "QuantumAI"), x509.NameAttribute(NameOID.COMMON_NAME, common)])
    builder = _certificate(name, name, private.public_key(), now() + ROOT_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
    return builder.sign(private, hashed)


def _certificate(issued_by: x509.Name, subject: x509.Name, public: object, end: datetime) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(issued_by, subject, public, x509.random_serial_number(), now() - SLACK, end)  # type: ignore[arg-type]


def _usage(*allowed: str) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    every = (*names, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in allowed for name in every})


def _write(file: Path, roots: Sequence[x509.Certificate]) -> None:
    # Two servers that start at once may both write: either root verifies the leaves of both, since key and name are the same.
    write_whole(file, b"".join(root.public_bytes(Encoding.PEM) for root in roots))
