"""Post-quantum keys in software: what a token that cannot do the algorithm leaves to this process, which unseals their secrets.

ML-DSA and ML-KEM-768/1024 are `cryptography`'s, whose secret is the seed of FIPS 203 and 204. SLH-DSA, and ML-KEM-512, which
`cryptography` does not have, are `pqcrypto`'s, whose secrets are the private key of FIPS 205 and the decapsulation key of FIPS 203.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem

from kms.algorithms import SIGNATURES
from kms.public_side import rust


@dataclass(frozen=True, slots=True)
class Software:
    """One algorithm's private half in software.

    Attributes:
        generate: a new key: (secret, raw public key).
        use: (secret, data) -> signature, or (secret, ciphertext) -> shared secret.
    """

    generate: Callable[[], tuple[bytes, bytes]]
    use: Callable[[bytes, bytes], bytes]


def _from_seed(kind: type[Any], use: Callable[[Any, bytes], bytes]) -> Software:
    def generate() -> tuple[bytes, bytes]:
        private = kind.generate()
        return private.private_bytes_raw(), private.public_key().public_bytes_raw()

    return Software(generate, lambda seed, data: use(kind.from_seed_bytes(seed), data))


def _ml_dsa(kind: type[Any]) -> Software:
    return _from_seed(kind, lambda private, data: bytes(private.sign(data)))


def _ml_kem(kind: type[Any]) -> Software:
    return _from_seed(kind, lambda private, ciphertext: bytes(private.decapsulate(ciphertext)))


def _by_rust(name: str, use: str) -> Software:
    scheme = rust(name)

    def generate() -> tuple[bytes, bytes]:
        public, secret = scheme.keygen()
        return secret, public

    return Software(generate, getattr(scheme, use))


SOFTWARE: Mapping[str, Software] = MappingProxyType(
    {
        "ML-DSA-44": _ml_dsa(mldsa.MLDSA44PrivateKey),
        "ML-DSA-65": _ml_dsa(mldsa.MLDSA65PrivateKey),
        "ML-DSA-87": _ml_dsa(mldsa.MLDSA87PrivateKey),
        "ML-KEM-512": _by_rust("ML-KEM-512", "decaps"),
        "ML-KEM-768": _ml_kem(mlkem.MLKEM768PrivateKey),
        "ML-KEM-1024": _ml_kem(mlkem.MLKEM1024PrivateKey),
        **{name: _by_rust(name, "sign") for name in SIGNATURES if name.startswith("SLH-DSA")},
    }
)
