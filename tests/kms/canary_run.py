"""The life of some keys, with everything written down that a program could write down; for test_canary.

Usage: canary_run.py MODULE TOKEN_FOLDER FOLDER. Writes to FOLDER; its secrets, and the number of errors, go to stdout (pickled).
"""

import logging
import pickle
import sys
import traceback
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kms import pkcs11_token
from kms.algorithms import LOG_SUITES, SIGNATURES
from kms.export import export
from kms.importing import read_private_key
from kms.in_force import KeysInForce
from kms.keyring import KeyRing
from kms.keys import KeySpec, TokenKey
from kms.software import SOFTWARE, Software
from kms.token import open_token

NAMES = ("ECDSA-P256", "Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-KEM-512", "ML-KEM-768", "SLH-DSA-SHA2-128f")


def watched(secrets, name, software):
    """Software whose secrets are kept to be searched for; a shared secret is one, too."""

    def generate():
        secret, public = software.generate()
        secrets[f"secret {len(secrets)} of {name}"] = secret[: len(secret) - len(public)] if name.startswith("SLH") else secret
        return secret, public

    return Software(generate, software.use)


def live(token, folder, secrets):
    ring = KeyRing.open(folder / "keys.db", token)
    KeysInForce(ring, "log", LOG_SUITES, publish=lambda trust: trust.save(folder / "trust.json"))()
    for name in NAMES:
        key = ring.create("canary", name)
        logging.getLogger("canary").debug("made %r of %r", key, ring.entries())
        if name in SIGNATURES:
            ring.sign(key.kid, b"data")
        else:
            ciphertext, shared = ring.encapsulate(key.kid)
            assert ring.decapsulate(key.kid, ciphertext) == shared
            secrets[f"shared by {name}"] = shared
        for form in ("pem", "der", "raw"):
            (folder / f"{name}.{form}").write_bytes(export(key, form))
        ring.rotate("canary", name)
    ring.change("canary/ML-DSA-44/1", "disable")
    ring.change("canary/ML-DSA-44/1", "destroy")
    ring.public().save(folder / "trust.json")
    (folder / "keys.json").write_text(repr(ring.entries()))
    return ring


def adopt(ring, secrets):
    """Keys that were made elsewhere; one of them is refused when it comes again."""
    scalar = ec.generate_private_key(ec.SECP384R1())
    made = {"ECDSA-P384": scalar, "ML-DSA-87": MLDSA87PrivateKey.generate(), "ML-KEM-1024": MLKEM1024PrivateKey.generate()}
    for name, private in made.items():
        is_curve = name == "ECDSA-P384"
        value = private.private_numbers().private_value.to_bytes(48, "big") if is_curve else private.private_bytes_raw()
        secrets[f"imported {name}"] = value
        found = read_private_key(name, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), str)
        logging.getLogger("canary").debug("read %r", found)
        ring.adopt("canary", found, "a canary")
    yield lambda: ring.adopt("canary", found, "again")
    yield lambda: ring.adopt("log", found, "again")
    yield lambda: read_private_key("Ed25519", private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), str)


def failures(token, ring, module):
    """What goes wrong, as functions."""
    [mldsa] = [entry.inside for entry in ring.entries() if entry.public.label == "canary/ML-DSA-65/1"]
    kem = next(entry for entry in ring.entries() if entry.public.algorithm == "ML-KEM-768")
    other = TokenKey(KeySpec("other", "ML-DSA-65", 1), mldsa.spki, b"nowhere", mldsa.sealed)
    yield lambda: token.sign(other, b"data")
    yield lambda: token.sign(TokenKey(mldsa.spec, mldsa.spki, b"nowhere", mldsa.sealed and bytes(60)), b"data")
    yield lambda: token.decapsulate(kem.inside, b"short")
    yield lambda: token.decapsulate(mldsa, b"x")
    yield lambda: ring.sign("canary/ML-DSA-44/1", b"data")
    yield lambda: ring.change("canary/Ed25519/1", "destroy")
    yield lambda: ring.create("canary", "ROT13")
    yield lambda: export(kem.public, "jwk")
    yield lambda: open_token(module, "none", "canary-as-a-pin")
    yield lambda: token._session.use(lambda session: session.get_key(id=b"quantumai/seal")[18])


def main() -> None:
    module, token_folder, folder = map(Path, sys.argv[1:])
    logging.basicConfig(filename=folder / "log.txt", level=logging.DEBUG)
    pin = (token_folder / "pin").read_text()
    secrets = {"PIN": pin.encode()}
    pkcs11_token.SOFTWARE = {name: watched(secrets, name, software) for name, software in SOFTWARE.items()}
    token = open_token(module, "tests", pin, token_folder)
    ring = live(token, folder, secrets)
    errors = []
    for fails in (*adopt(ring, secrets), *failures(token, ring, module)):
        try:
            fails()
        except Exception:  # every error is written down
            errors.append("".join(traceback.TracebackException(*sys.exc_info(), capture_locals=False).format()))
    (folder / "errors.txt").write_text("\n".join(errors))
    sys.stdout.buffer.write(pickle.dumps((secrets, len(errors))))


main()
