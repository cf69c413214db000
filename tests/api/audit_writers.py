"""Keys in software that seal an audit, and a process that writes one until it is killed.

Usage: audit_writers.py FOLDER NAME COUNT; says each entry's number when it stands.
"""

import sys
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from kms.audit.trail import AUDIT_USE, Trail
from kms.keys import Key, KeySpec, PublicKey, TokenKey, kid
from schemas.manifests import KmsAudit


class Software:
    def __init__(self, private):
        self.private = private

    def sign(self, _, data):
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return jwt.get_algorithm_by_name("ES384").sign(data, self.private)
        return self.private.sign(data, b"")


def sealing_keys(private_keys=None):
    """One key of each suite, outside of any token."""
    found = private_keys or (ec.generate_private_key(ec.SECP384R1()), mldsa.MLDSA65PrivateKey.generate())
    keys = []
    for name, private in zip(("ECDSA-P384", "ML-DSA-65"), found, strict=True):
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        public = PublicKey(kid(spki, name, AUDIT_USE), AUDIT_USE, name, 1, "active", spki)
        keys.append(Key(public, TokenKey(KeySpec(AUDIT_USE, name, 1), spki, b"1"), Software(private)))
    return keys


def use(number=0, **fields):
    usual = {
        "kid": "k" * 8,
        "actor": "alice",
        "action": "sign",
        "outcome": "SUCCESS",
        "algorithm": "Ed25519",
        "detail": f"{number}",
    }
    return KmsAudit(**{**usual, **fields})


def main():
    folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    keys = sealing_keys([load_pem_private_key((folder / f"{at}.pem").read_bytes(), None) for at in range(2)])
    trail = Trail(folder, "tests", name, lambda: keys)
    for number in range(count):
        trail.append(use(number, actor=name))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        if number % 7 == 6:
            trail.seal()
    trail.seal()


if __name__ == "__main__":
    main()
