"""Keys that are one string of bytes under an OID without parameters: SubjectPublicKeyInfo (RFC 5280 section 4.1), and PKCS#8 of
private ones (RFC 5958)."""

_SEQUENCE, _OID, _BIT_STRING, _OCTET_STRING = 0x30, 0x06, 0x03, 0x04
_VERSION = b"\x02\x01\0"


def wrap(oid: str, raw: bytes) -> bytes:
    """The DER of a public key that is `raw` under `oid`."""
    return _element(_SEQUENCE, _element(_SEQUENCE, _element(_OID, _oid(oid))) + _element(_BIT_STRING, b"\0" + raw))


def unwrap(oid: str, length: int, spki: bytes) -> bytes | None:
    """The `length` raw bytes of a key under `oid`; None where the DER is anything else, another algorithm's key for example."""
    raw = spki[-length:]
    return raw if len(raw) == length and wrap(oid, raw) == spki else None


def unwrap_private(oid: str, length: int, der: bytes, *, nested: bool = False) -> bytes | None:
    """The `length` secret bytes of PKCS#8 under `oid`, `nested` in one more octet string; None where the DER is anything else."""
    secret = der[-length:]
    inner = _element(_OCTET_STRING, secret) if nested else secret
    expected = _element(_SEQUENCE, _VERSION + _element(_SEQUENCE, _element(_OID, _oid(oid))) + _element(_OCTET_STRING, inner))
    return secret if len(secret) == length and expected == der else None


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    return b"".join(map(_base128, (40 * first + second, *rest)))


def _base128(number: int) -> bytes:
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(0x80 | number & 0x7F)
    return bytes(reversed(octets))
