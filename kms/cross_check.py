"""A second opinion on post-quantum signatures: ML-DSA by liboqs, which shares no code with OpenSSL; SLH-DSA by `kms.slh_dsa`, which
shares none with `pqcrypto`.

liboqs-python fetches and builds liboqs by itself when it finds none at import; so it is imported only where the library was found
before. SLH-DSA of liboqs 0.13 is not yet that of FIPS 205, and is not asked.
"""

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType

from kms.algorithms import SIGNATURES, raw_public_key
from kms.errors import Disagreement, SecondOpinionMissing, WrongSignature
from kms.keys import PublicKey
from kms.slh_dsa import SETS, accepts
from kms.trust import TrustRoot

_BUILT = Path(__file__).resolve().parents[1] / "build" / "liboqs"
_NAMES = ("lib/liboqs.so", "lib64/liboqs.so", "lib/liboqs.dylib")

Accepts = Callable[[bytes, bytes, bytes], bool]
"""(raw public key, signature, data) -> whether it verifies."""


@dataclass(frozen=True, slots=True)
class CrossChecked(PublicKey):
    """A public key whose post-quantum signatures two implementations must judge alike."""

    def verify(self, signature: bytes, data: bytes) -> None:
        """Checks a signature over `data`.

        Raises:
            WrongSignature: both say that it does not verify.
            Disagreement: one says so.
        """
        wrong = None
        try:
            PublicKey.verify(self, signature, data)
        except WrongSignature as error:
            wrong = error
        second = second_opinions().get(self.algorithm)
        if second is not None and second(raw_public_key(self.algorithm, self.spki), signature, data) != (wrong is None):
            first = "verifies" if wrong is None else "does not verify"
            raise Disagreement(
                f"the signature by {self.label} ({self.kid[:16]}…) {first}, says the first implementation of {self.algorithm}; the "
                "second says the contrary: believe neither, keep the evidence and report it"
            )
        if wrong is not None:
            raise wrong


def cross_checked(trust: TrustRoot) -> TrustRoot:
    """The trust root with keys that ask both implementations.

    Raises:
        SecondOpinionMissing: there is no second one here, and what to do.
    """
    second_opinions()
    values = [{field.name: getattr(key, field.name) for field in fields(key)} for key in trust.keys]
    return replace(trust, keys=tuple(CrossChecked(**value) for value in values))


def unchecked(trust: TrustRoot) -> list[str]:
    """Post-quantum algorithms of trusted keys on which there is no second opinion."""
    used = {key.algorithm for key in trust.keys if not SIGNATURES[key.algorithm].classical}
    return sorted(used - set(second_opinions()))


@cache
def second_opinions() -> Mapping[str, Accepts]:
    """Algorithm -> the second implementation.

    Raises:
        SecondOpinionMissing: liboqs or liboqs-python is not here.
    """
    oqs = _liboqs()

    def asking(name: str) -> Accepts:
        def judge(raw: bytes, signature: bytes, data: bytes) -> bool:
            with oqs.Signature(name) as verifier:
                return bool(verifier.verify(data, signature, raw))

        return judge

    found = [name for name in SIGNATURES if name.startswith("ML-DSA") and name in oqs.get_enabled_sig_mechanisms()]
    return MappingProxyType({**{name: asking(name) for name in found}, **{name: partial(accepts, name) for name in SETS}})


def _liboqs() -> ModuleType:
    place = Path(os.environ.get("OQS_INSTALL_PATH", _BUILT))
    if not any((place / name).is_file() for name in _NAMES):
        raise SecondOpinionMissing(
            f"there is no liboqs in {place}: `make liboqs` builds it, or set OQS_INSTALL_PATH to where it is"
        )
    os.environ["OQS_INSTALL_PATH"] = str(place)
    logging.disable(logging.INFO)  # it prints at import
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is of another version, which is said in deploy/liboqs
            return import_module("oqs")
    except ImportError:
        raise SecondOpinionMissing("liboqs-python is not installed: pip install liboqs-python") from None
    finally:
        logging.disable(logging.NOTSET)
