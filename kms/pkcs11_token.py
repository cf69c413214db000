"""Key pairs of a PKCS#11 token: inside it where it knows the algorithm, sealed by it where it does not."""

import secrets
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pkcs11
from pkcs11 import Mechanism, ObjectClass, exceptions

from kms.algorithms import algorithm, encapsulation, signature_algorithm
from kms.cryptoki import Cryptoki, Device
from kms.errors import KeyMissing, MechanismMissing, TokenBusy, WrongCiphertext
from kms.importing import PrivateKey
from kms.inside import INSIDE
from kms.keys import KeySpec, Place, TokenKey
from kms.objects import attributes_of
from kms.sealing import seal, unseal
from kms.software import SOFTWARE
from kms.spki import wrap

T = TypeVar("T")

_BUSY_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)


class Pkcs11Token:
    """A token behind a logged-in session; implements `kms.token.Token`."""

    def __init__(self, session: Cryptoki) -> None:
        self._session = session
        self.label = session.label
        self._found: dict[bytes, Any] = {}

    def place(self, name: str) -> Place | None:
        """Where keys of an algorithm live: inside, sealed by the token, or nowhere (None).

        Raises:
            UnknownAlgorithm: not in the table.
        """
        algorithm(name)
        if self._session.offers(INSIDE[name].mechanism):
            return "inside"
        return "sealed" if name in SOFTWARE and self._session.offers(Mechanism.AES_GCM) else None

    def device(self) -> Device:
        """What the token says of itself."""
        return self._session.device()

    def generate(self, spec: KeySpec) -> TokenKey:
        """A new key pair: not extractable from the token, or its secret sealed by it.

        Raises:
            UnknownAlgorithm: not in the table.
            MechanismMissing: the token can neither hold nor seal keys of the algorithm.
            TokenError: the token refuses.
        """
        place, object_id = self._place(spec), secrets.token_bytes(16)
        return _patiently(lambda: (self._generate if place == "inside" else self._generate_sealed)(spec, object_id))

    def _generate(self, spec: KeySpec, object_id: bytes) -> TokenKey:
        spki = self._session.use(lambda session: INSIDE[spec.algorithm].generate(session, spec.label, object_id))
        return TokenKey(spec, spki, object_id)

    def _generate_sealed(self, spec: KeySpec, object_id: bytes) -> TokenKey:
        secret, raw = SOFTWARE[spec.algorithm].generate()
        return self._sealed(spec, object_id, secret, wrap(algorithm(spec.algorithm).oid, raw))

    def _sealed(self, spec: KeySpec, object_id: bytes, secret: bytes, spki: bytes) -> TokenKey:
        key = TokenKey(spec, spki, object_id)
        sealed = self._session.use(lambda session: seal(session, secret, key.binding))
        return TokenKey(spec, spki, object_id, sealed)

    def _place(self, spec: KeySpec) -> Place:
        place = self.place(spec.algorithm)
        if place is None:
            raise MechanismMissing(
                f"token {self.label!r} has neither {spec.algorithm} nor AES-GCM to seal its keys; use another token"
            )
        return place

    def adopt(self, spec: KeySpec, private: PrivateKey) -> TokenKey:
        """A key that was made elsewhere: not extractable from the token from now on, or its secret sealed by it.

        Raises:
            MechanismMissing: the token can neither hold nor seal keys of the algorithm.
            TokenError: the token refuses.
        """
        place, object_id = self._place(spec), secrets.token_bytes(16)
        if place == "sealed":
            return _patiently(lambda: self._sealed(spec, object_id, private.secret, private.spki))
        attributes = attributes_of(private, spec.label, object_id)
        _patiently(lambda: self._session.use(lambda session: session.create_object(attributes)))
        return TokenKey(spec, private.spki, object_id)

    def sign(self, key: TokenKey, data: bytes) -> bytes:
        """A signature over `data`.

        Raises:
            UnknownAlgorithm: the key is of no signature algorithm.
            KeyMissing: the token does not hold the key.
            SealBroken: the sealed secret does not open.
            TokenError: the token refuses.
        """
        signature_algorithm(key.spec.algorithm)
        return self._use(key, data)

    def decapsulate(self, key: TokenKey, ciphertext: bytes) -> bytes:
        """The shared secret of 32 bytes in `ciphertext`; of an altered one another secret (FIPS 203 rejects implicitly).

        Raises:
            UnknownAlgorithm: the key is of no key encapsulation mechanism.
            WrongCiphertext: it is of another length.
            KeyMissing, SealBroken, TokenError: as `sign`.
        """
        expected = encapsulation(key.spec.algorithm).ciphertext_bytes
        if len(ciphertext) != expected:
            raise WrongCiphertext(f"an {key.spec.algorithm} ciphertext is {expected} bytes, this one {len(ciphertext)}")
        return self._use(key, ciphertext)

    def destroy(self, key: TokenKey) -> None:
        """Deletes what the token holds of a key; does nothing where it holds nothing. There is no way back."""

        def work(session: pkcs11.Session) -> None:
            for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
                for found in list(session.get_objects({pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.ID: key.object_id})):
                    found.destroy()

        if key.sealed is None:
            _patiently(lambda: self._session.use(work))
            self._found.pop(key.object_id, None)

    def _use(self, key: TokenKey, data: bytes) -> bytes:
        name = key.spec.algorithm
        if key.sealed is not None:
            return SOFTWARE[name].use(self._unseal(key), data)

        def work(session: pkcs11.Session) -> bytes:
            try:
                return INSIDE[name].use(self._private(session, key), data)
            except (exceptions.KeyHandleInvalid, exceptions.ObjectHandleInvalid):  # it was destroyed since it was found
                self._found.pop(key.object_id)
                return INSIDE[name].use(self._private(session, key), data)

        return self._session.use(work)

    def _unseal(self, key: TokenKey) -> bytes:
        def work(session: pkcs11.Session) -> bytes:
            try:
                return unseal(session, key)
            except exceptions.NoSuchKey:
                raise self._missing(f"did not seal {key.kid}") from None

        return self._session.use(work)

    def _private(self, session: pkcs11.Session, key: TokenKey) -> Any:
        """The handle of a private key; finding it takes a quarter of a signature's time."""
        if key.object_id not in self._found:
            try:
                self._found[key.object_id] = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=key.object_id)
            except exceptions.NoSuchKey:
                raise self._missing(f"holds no key {key.kid}") from None
        return self._found[key.object_id]

    def _missing(self, what: str) -> KeyMissing:
        return KeyMissing(
            f"token {self.label!r} {what}: key ring and token do not belong together, or it was taken out meanwhile: then put it "
            "back and restart this process"
        )


def _patiently(work: Callable[[], T]) -> T:
    """The result of `work`, which other processes that write to the token may hold up."""
    for pause in _BUSY_PAUSES:
        try:
            return work()
        except TokenBusy:
            time.sleep(pause)
    return work()
