"""Blocks of an Avro file of somebody else's: decompressed up to a limit, for half a megabyte of deflate may stand for gigabytes."""

import io
import zlib
from typing import IO

from fastavro.read import BLOCK_READERS

MAX_BLOCK_BYTES = 64 * 1024 * 1024
"""Of a block. Ours have a quarter of a megabyte and the rest of one message; other tools write whole files of one block."""

_KNOWN = ("null", "deflate")
_RAW = -zlib.MAX_WBITS


class BlockTooLargeError(ValueError):
    """A block that stands for more bytes than are read, or is compressed in a way that is not read here."""


def _deflated(source: IO[bytes]) -> io.BytesIO:
    inflating = zlib.decompressobj(_RAW)
    content = inflating.decompress(_compressed(source), MAX_BLOCK_BYTES)
    if inflating.unconsumed_tail:
        raise BlockTooLargeError(f"a block of it holds more than {MAX_BLOCK_BYTES:,} bytes, the most that is read")
    return io.BytesIO(content)


def _plain(source: IO[bytes]) -> io.BytesIO:
    return io.BytesIO(_compressed(source))


def _compressed(source: IO[bytes]) -> bytes:
    size = _long(source)
    if not 0 <= size <= MAX_BLOCK_BYTES:
        raise BlockTooLargeError(f"a block of it has {size:,} bytes; at most {MAX_BLOCK_BYTES:,} are read")
    return source.read(size)


def _long(source: IO[bytes]) -> int:
    """Avro's long: base 128, little-endian, zigzag."""
    found = shift = 0
    while shift < 64:
        [octet] = source.read(1) or b"\0"
        found |= (octet & 0x7F) << shift
        if octet < 0x80:
            break
        shift += 7
    return (found >> 1) ^ -(found & 1)


def _refused(source: IO[bytes]) -> io.BytesIO:
    raise BlockTooLargeError(f"its blocks are compressed in another way than {' or '.join(_KNOWN)}")


def bound() -> None:
    """Lets fastavro, which has no limit of its own, read no larger blocks in this process."""
    BLOCK_READERS.update(dict.fromkeys(BLOCK_READERS, _refused), null=_plain, deflate=_deflated)
