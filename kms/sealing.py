"""Key pairs of a PKCS#11 token: inside it where it knows the algorithm, sealed by it where it does not."""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType, Mechanism, MLDSAParameterSet, ObjectClass, exceptions
from pkcs11.util.ec import encode_named_curve_parameters

from kms.algorithms import signature_algorithm
from kms.cryptoki import Cryptoki
from kms.errors import KeyMissing, SealBroken, TokenBusy
from kms.keys import KeySpec, TokenKey

_PRIVATE = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
_SEALING_KEY = b"quantumai/seal"
_NONCE_BYTES = 12
_BUSY_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)


class Pkcs11Token:
    """A token behind a logged-in session; implements `kms.token.Token`."""

    def __init__(self, session: Cryptoki) -> None:
        self._session = session
        self.label = session.label
        self.post_quantum = session.offers(Mechanism.ML_DSA)
        self._found: dict[bytes, Any] = {}

    def generate(self, spec: KeySpec) -> TokenKey:
        """A new key pair: not extractable from the token, or its seed sealed by it.

        Raises:
            UnknownAlgorithm: not in the table.
            TokenError: the token refuses.
        """
        signature_algorithm(spec.algorithm)
        for pause in _BUSY_PAUSES:
            try:
                return self._generate(spec)
            except TokenBusy:
                time.sleep(pause)
        return self._generate(spec)

    def _generate(self, spec: KeySpec) -> TokenKey:
        object_id = secrets.token_bytes(16)
        if self._sealed(spec.algorithm):
            return self._generate_sealed(spec, object_id)
        spki = self._session.use(lambda session: _GENERATE[spec.algorithm](session, spec.label, object_id))
        return TokenKey(spec, spki, object_id)

    def sign(self, key: TokenKey, data: bytes) -> bytes:
        """A signature over `data`.

        Raises:
            KeyMissing: the token does not hold the key.
            SealBroken: the sealed seed does not open.
            TokenError: the token refuses.
        """
        if key.sealed is not None:
            return mldsa.MLDSA65PrivateKey.from_seed_bytes(self._unseal(key)).sign(data)

        def work(session: pkcs11.Session) -> bytes:
            try:
                return _SIGN[key.spec.algorithm](self._private(session, key), data)
            except (exceptions.KeyHandleInvalid, exceptions.ObjectHandleInvalid):  # it was destroyed since it was found
                self._found.pop(key.object_id)
                return _SIGN[key.spec.algorithm](self._private(session, key), data)

        return self._session.use(work)

    def _private(self, session: pkcs11.Session, key: TokenKey) -> Any:
        """The handle of a private key; finding it takes a quarter of a signature's time."""
        if key.object_id not in self._found:
            try:
                self._found[key.object_id] = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=key.object_id)
            except exceptions.NoSuchKey:
                raise KeyMissing(
                    f"token {self.label!r} holds no key {key.kid}: key ring and token do not belong together"
                ) from None
        return self._found[key.object_id]

    def _sealed(self, algorithm: str) -> bool:
        return not signature_algorithm(algorithm).classical and not self.post_quantum

    def _generate_sealed(self, spec: KeySpec, object_id: bytes) -> TokenKey:
        seed = secrets.token_bytes(32)
        public = mldsa.MLDSA65PrivateKey.from_seed_bytes(seed).public_key()
        key = TokenKey(spec, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), object_id)
        nonce = secrets.token_bytes(_NONCE_BYTES)

        def work(session: pkcs11.Session) -> bytes:
            return bytes(
                _sealing_key(session, make=True).encrypt(seed, mechanism=Mechanism.AES_GCM, mechanism_param=_gcm(nonce, key))
            )

        return TokenKey(spec, key.spki, object_id, nonce + self._session.use(work))

    def _unseal(self, key: TokenKey) -> bytes:
        sealed = key.sealed or b""

        def work(session: pkcs11.Session) -> bytes:
            parameters = _gcm(sealed[:_NONCE_BYTES], key)
            try:
                sealing_key = _sealing_key(session, make=False)
                return bytes(sealing_key.decrypt(sealed[_NONCE_BYTES:], mechanism=Mechanism.AES_GCM, mechanism_param=parameters))
            except exceptions.NoSuchKey:
                raise KeyMissing(
                    f"token {self.label!r} did not seal {key.kid}: key ring and token do not belong together"
                ) from None
            except (exceptions.GeneralError, exceptions.EncryptedDataInvalid, exceptions.EncryptedDataLenRange):
                raise SealBroken(f"the sealed key {key.kid} does not open: blob, version, algorithm or use were changed") from None

        return self._session.use(work)


def _gcm(nonce: bytes, key: TokenKey) -> pkcs11.GCMParams:
    return pkcs11.GCMParams(nonce, key.binding, 128)


def _sealing_key(session: pkcs11.Session, make: bool) -> Any:
    try:
        return session.get_key(object_class=ObjectClass.SECRET_KEY, id=_SEALING_KEY)
    except exceptions.NoSuchKey:
        if not make:
            raise
    template = {**_PRIVATE, Attribute.ENCRYPT: True, Attribute.DECRYPT: True}
    return session.generate_key(KeyType.AES, 256, store=True, template=template, label=_SEALING_KEY.decode(), id=_SEALING_KEY)


def _generate_ecdsa_p384(session: pkcs11.Session, label: str, object_id: bytes) -> bytes:
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp384r1")}
    domain = session.create_domain_parameters(KeyType.EC, curve, local=True)
    public, _ = domain.generate_keypair(store=True, label=label, id=object_id, private_template=_PRIVATE)
    point = bytes(public[Attribute.EC_POINT])[-97:]  # DER octet string or bare point: both end with 04 || x || y
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _generate_mldsa65(session: pkcs11.Session, label: str, object_id: bytes) -> bytes:
    public, _ = session.generate_keypair(
        KeyType.ML_DSA,
        store=True,
        label=label,
        id=object_id,
        public_template={Attribute.PARAMETER_SET: MLDSAParameterSet.ML_DSA_65},
        private_template=_PRIVATE,
    )
    key = mldsa.MLDSA65PublicKey.from_public_bytes(bytes(public[Attribute.VALUE]))
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


_GENERATE: Mapping[str, Callable[[pkcs11.Session, str, bytes], bytes]] = {
    "ECDSA-P384": _generate_ecdsa_p384,
    "ML-DSA-65": _generate_mldsa65,
}

_SIGN: Mapping[str, Callable[[Any, bytes], bytes]] = {
    # The hash is made here: PKCS#11 2.40 tokens have the bare CKM_ECDSA, few have CKM_ECDSA_SHA384.
    "ECDSA-P384": lambda key, data: bytes(key.sign(hashlib.sha384(data).digest(), mechanism=Mechanism.ECDSA)),
    "ML-DSA-65": lambda key, data: bytes(key.sign(data, mechanism=Mechanism.ML_DSA)),
}
