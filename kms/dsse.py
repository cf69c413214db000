"""DSSE envelopes (Dead Simple Signing Envelope 1.0.2): bytes of a type, and signatures over both.

A signature is over the pre-authentication encoding of type and bytes, so neither the JSON around them nor its order is signed.
`keyid` is the kid of `kms.keys.kid`; as the specification demands, it chooses which key is tried and proves nothing.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kms.base64_text import read_base64
from kms.errors import MalformedEnvelope
from kms.keys import Key

MAX_SIGNATURES = 64


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """One signature: the name of its key, empty where it has none, and its bytes in the form of `kms.algorithms`."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope, read but not verified."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...] = ()

    def signed_bytes(self) -> bytes:
        """What each signature is over."""
        return pae(self.payload_type, self.payload)

    def document(self) -> dict[str, Any]:
        """The envelope as the specification's JSON."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": one.keyid, "sig": base64.b64encode(one.sig).decode()} for one in self.signatures],
        }


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: DSSEv1, and type and bytes each behind its length, one blank between."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, keys: Sequence[Key]) -> Envelope:
    """The envelope with one signature a key.

    Raises:
        TokenError: the token refuses.
    """
    data = pae(payload_type, payload)
    return Envelope(payload_type, payload, tuple(EnvelopeSignature(key.public.kid, key.sign(data)) for key in keys))


def read_envelope(document: Any) -> Envelope:
    """The envelope in a document of JSON. Fields beside the specification's are ignored, as it demands: nobody signs them.

    Raises:
        MalformedEnvelope: a field is missing, or is not what it should be; it is named.
    """
    fields = _mapping(document, "the envelope")
    signatures = _field(fields, "signatures", list, "the envelope")
    if len(signatures) > MAX_SIGNATURES:
        raise MalformedEnvelope(f"the envelope has {len(signatures)} signatures; at most {MAX_SIGNATURES} are read")
    read = tuple(_signature(one, f"signature {number}") for number, one in enumerate(signatures, 1))
    if len(set(read)) != len(read):
        raise MalformedEnvelope("a signature of the envelope stands twice")
    return Envelope(
        _field(fields, "payloadType", str, "the envelope"),
        _base64(_field(fields, "payload", str, "the envelope"), "payload"),
        read,
    )


def _signature(document: Any, where: str) -> EnvelopeSignature:
    fields = _mapping(document, where)
    keyid = _field({"keyid": fields.get("keyid", "")}, "keyid", str, where)
    return EnvelopeSignature(keyid, _base64(_field(fields, "sig", str, where), f"sig of {where}"))


def _mapping(document: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise MalformedEnvelope(f"{where} is no JSON object")
    return document


def _field(fields: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    value = fields.get(name)
    if not isinstance(value, kind):
        raise MalformedEnvelope(f"{where} has no {name!r}" if value is None else f"{name!r} of {where} is no {kind.__name__}")
    return value


def _base64(text: str, where: str) -> bytes:
    """Standard or URL-safe, with its padding: the specification lets signers use either."""
    try:
        return read_base64(text.replace("-", "+").replace("_", "/"))
    except ValueError:
        raise MalformedEnvelope(f"{where} is no base64") from None
