"""Reading a ClientHello: what Python's ssl sends is read and written back byte by byte; what is malformed is refused by name."""

import contextlib
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kms.tls import groups
from kms.tls.errors import MalformedHello
from kms.tls.hello import ClientHello, first_message, record


def flight(minimum=ssl.TLSVersion.TLSv1_2, maximum=ssl.TLSVersion.TLSv1_3):
    """What a client of the standard library sends first."""
    context = ssl.create_default_context()
    context.minimum_version, context.maximum_version = minimum, maximum
    context.set_ecdh_curve("prime256v1")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


FLIGHT = flight()
MESSAGE, REST = first_message(FLIGHT)


def test_a_hello_of_another_implementation_is_read_and_written_back():
    hello = ClientHello.parse(MESSAGE)
    assert hello.message() == MESSAGE
    assert REST == b""
    assert hello.groups == ("secp256r1",)
    assert hello.shares == ("secp256r1",)
    assert set(hello.versions) == {"TLSv1.3", "TLSv1.2"}
    assert (0, struct.pack(">HBH", 12, 0, 9) + b"localhost") in hello.extensions  # server_name, RFC 6066 section 3


def test_a_client_that_knows_no_tls13_has_no_shares():
    message, _ = first_message(flight(maximum=ssl.TLSVersion.TLSv1_2))
    hello = ClientHello.parse(message)
    assert (hello.versions, hello.shares) == (("TLSv1.2",), ())


def hybrid():
    """A hello with X25519MLKEM768 in front."""
    hello = ClientHello.parse(MESSAGE)
    listed = struct.pack(">HHH", 4, 0x11EC, 0x0017)
    share = struct.pack(">HH", 0x11EC, 3) + b"abc" + struct.pack(">HH", 0x0017, 2) + b"de"
    contents = {10: listed, 51: struct.pack(">H", len(share)) + share}
    return ClientHello(hello.head, tuple((kind, contents.get(kind, content)) for kind, content in hello.extensions))


def test_what_is_stripped_is_gone_and_the_rest_stays():
    hello = ClientHello.parse(hybrid().message())
    assert hello.groups == hello.shares == ("X25519MLKEM768", "secp256r1")
    stripped = ClientHello.parse(hello.without_group("X25519MLKEM768").message())
    assert stripped.groups == stripped.shares == ("secp256r1",)
    assert [kind for kind, _ in stripped.extensions] == [kind for kind, _ in hello.extensions]
    older = ClientHello.parse(hello.without_tls13().message())
    assert older.versions == ("TLSv1.2",)
    assert len(older.extensions) == len(hello.extensions) - 1


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100, len(MESSAGE) - 1])
def test_a_hello_in_several_records_is_put_together(size):
    parts = [MESSAGE[at : at + size] for at in range(0, len(MESSAGE), size)]
    stream = b"".join(record(part) for part in parts)
    for end in (1, 4, 6, len(stream) - 1):
        assert first_message(stream[:end]) is None
    assert first_message(stream + b"more") == (MESSAGE, b"more")


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_no_message_yet_or_malformed(octets):
    with contextlib.suppress(MalformedHello):
        found = first_message(octets)
        assert found is None or octets.endswith(found[1])
        if found is not None:
            ClientHello.parse(found[0])


@given(st.integers(0, len(MESSAGE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_read_as_what_it_says_or_refused(at, change):
    changed = bytearray(MESSAGE)
    changed[at] ^= change
    with contextlib.suppress(MalformedHello):
        hello = ClientHello.parse(bytes(changed))
        assert isinstance(hello.groups + hello.shares + hello.versions, tuple)


@given(st.integers(0, len(MESSAGE) - 1))
def test_a_hello_cut_short_is_malformed(end):
    with pytest.raises(MalformedHello):
        ClientHello.parse(MESSAGE[:end])


@pytest.mark.parametrize(
    "stream",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28", record(b"\x01\xff\xff\xff" + b"x" * 100)],
    ids=["http", "alert", "16 MB"],
)
def test_what_begins_otherwise_is_malformed(stream):
    with pytest.raises(MalformedHello):
        first_message(stream)


def test_numbers_of_groups_are_those_of_the_registry():
    # IANA "TLS Supported Groups": values from draft-ietf-tls-ecdhe-mlkem and draft-ietf-tls-mlkem, RFC 8446 section 4.2.7
    registered = {"secp256r1": 23, "x25519": 29, "X25519MLKEM768": 4588, "SecP256r1MLKEM768": 4587, "MLKEM768": 513}
    assert {name: groups.GROUPS[name].code for name in registered} == registered
    assert groups.of_code(4588) == groups.of_name("x25519mlkem768") == "X25519MLKEM768"
    assert groups.of_code(0x2A2A) == "0x2a2a"
    assert not groups.post_quantum("0x2a2a")
    assert not groups.post_quantum("x25519")
