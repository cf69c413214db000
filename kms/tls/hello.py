"""The ClientHello as it goes over the wire (RFC 8446 section 4.1.2): what a client supports, before anything is agreed."""

import struct
from dataclasses import dataclass, replace

from kms.tls import groups
from kms.tls.errors import MalformedHello

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_GROUPS, _VERSIONS, _SHARES = 10, 43, 51
_NAMES = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_LONGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class ClientHello:
    """One ClientHello.

    Attributes:
        head: all before the extensions, from the version on.
        extensions: (type, content), in their order.
    """

    head: bytes
    extensions: tuple[tuple[int, bytes], ...]

    @classmethod
    def parse(cls, message: bytes) -> "ClientHello":
        """Reads a handshake message.

        Raises:
            MalformedHello: it is no ClientHello.
        """
        if message[:1] != bytes((_CLIENT_HELLO,)):
            raise MalformedHello("the first message of a connection is no ClientHello")
        rest = message[4:]
        end = 34  # legacy version and random
        for width in (1, 2, 1):  # session id, cipher suites, compression methods
            end += width + _number(rest[end : end + width], width)
        found = cls(rest[:end], tuple(_extensions(_vector(rest[end:]))))
        _ = (found.groups, found.shares, found.versions)  # what is malformed in them is said now, not when they are asked for
        return found

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the client supports, the preferred first."""
        content = self._content(_GROUPS)
        return tuple(map(groups.of_code, _codes(_vector(content)))) if content else ()

    @property
    def shares(self) -> tuple[str, ...]:
        """The groups that it sends a share for, and can use without another round."""
        content = self._content(_SHARES)
        return tuple(groups.of_code(code) for code, _ in _extensions(_vector(content))) if content else ()

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that it supports; TLSv1.2 alone where it does not say."""
        content = self._content(_VERSIONS)
        return tuple(_NAMES.get(code, f"0x{code:04x}") for code in _codes(content[1:])) if content else ("TLSv1.2",)

    def without_group(self, name: str) -> "ClientHello":
        """The same without a group and its share: what an attacker on the path would make of it."""
        code = groups.GROUPS[name].code
        listed = b"".join(struct.pack(">H", each) for each in _codes(_vector(self._content(_GROUPS))) if each != code)
        shares = [(each, share) for each, share in _extensions(_vector(self._content(_SHARES))) if each != code]
        return self._with({_GROUPS: _sized(listed), _SHARES: _sized(_joined(shares))})

    def without_tls13(self) -> "ClientHello":
        """The same without the extension by which a client offers TLS 1.3."""
        return replace(self, extensions=tuple((kind, content) for kind, content in self.extensions if kind != _VERSIONS))

    def message(self) -> bytes:
        """The handshake message."""
        body = self.head + _sized(_joined(self.extensions))
        return bytes((_CLIENT_HELLO,)) + len(body).to_bytes(3, "big") + body

    def _content(self, kind: int) -> bytes:
        return next((content for each, content in self.extensions if each == kind), b"")

    def _with(self, contents: dict[int, bytes]) -> "ClientHello":
        return replace(self, extensions=tuple((kind, contents.get(kind, content)) for kind, content in self.extensions))


def first_message(stream: bytes) -> tuple[bytes, bytes] | None:
    """(first handshake message, what follows its last record) of the bytes of a connection; None until it is all there.

    Raises:
        MalformedHello: another kind of record comes first, or the message is longer than any ClientHello.
    """
    message, at = b"", 0
    while len(stream) >= at + 5:
        kind, _, length = struct.unpack_from(">BHH", stream, at)
        if kind != _HANDSHAKE:
            raise MalformedHello("the connection does not begin with a TLS handshake")
        if len(stream) < at + 5 + length:
            return None
        message, at = message + stream[at + 5 : at + 5 + length], at + 5 + length
        wanted = 4 + int.from_bytes(message[1:4], "big")
        if wanted > _LONGEST:
            raise MalformedHello(f"a first message of {wanted:,} bytes is no ClientHello")
        if len(message) >= 4 and len(message) >= wanted:
            return message[:wanted], stream[at:]
    return None


def record(message: bytes) -> bytes:
    """A handshake message in one record, as a first message is sent."""
    return struct.pack(">BHH", _HANDSHAKE, 0x0301, len(message)) + message


def _number(octets: bytes, width: int) -> int:
    if len(octets) != width:
        raise MalformedHello("the ClientHello ends in the middle")
    return int.from_bytes(octets, "big")


def _vector(octets: bytes) -> bytes:
    """The content of a vector with a length of two bytes, which it fills."""
    if _number(octets[:2], 2) != len(octets) - 2:
        raise MalformedHello("a length in the ClientHello is not that of what it counts")
    return octets[2:]


def _extensions(octets: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(octets):
        kind, length = _number(octets[at : at + 2], 2), _number(octets[at + 2 : at + 4], 2)
        content = octets[at + 4 : at + 4 + length]
        _number(content, length)
        found.append((kind, content))
        at += 4 + length
    return found


def _codes(octets: bytes) -> list[int]:
    return [_number(octets[at : at + 2], 2) for at in range(0, len(octets), 2)]


def _sized(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content


def _joined(pairs: tuple[tuple[int, bytes], ...] | list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">H", kind) + _sized(content) for kind, content in pairs)
