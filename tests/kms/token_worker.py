"""What test processes do with a token: sign for ever, or make keys and sign batches of a log into a file, until they are killed."""

import os
import sys
from pathlib import Path

from kms_events import Log, requests

from kms.algorithms import LOG_SUITES
from kms.errors import TokenError
from kms.keyring import KeyRing
from kms.token import open_token
from schemas.codec import decode, encode
from schemas.manifests import LogCheckpoint
from schemas.record import now


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def opened(module, folder, ring):
    folder = Path(folder)
    return KeyRing.open(Path(ring), open_token(Path(module), "tests", os.environ["PIN"] or (folder / "pin").read_text(), folder))


def sign_on_request(ring):
    """A line in is a signature each way; `ok`, or the error's class and sentence, comes out."""
    keys = ring.ensure("abuse", LOG_SUITES)
    say("ready")
    for line in sys.stdin:
        try:
            for key in keys:
                key.public.verify(key.sign(line.encode()), line.encode())
            say("ok")
        except TokenError as error:
            say(f"{type(error).__name__}: {error}")


def grow_a_log(ring, place):
    """Batches of leaves and their checkpoint, a line of hex for each record, a batch in one write; a torn end is cut off first."""
    file = Path(place)
    whole = file.read_bytes().rpartition(b"\n.\n")[0] if file.exists() else b""
    whole += b"\n.\n" if whole else b""
    file.write_bytes(whole)
    lines = [line for line in whole.splitlines() if line not in (b"", b".")]
    log = Log(ring.ensure("log", LOG_SUITES), clock=now)
    log.last = decode(LogCheckpoint, bytes.fromhex(lines[-1].decode())) if lines else None
    number = log.last.tree_size if log.last else 0
    say("ready")
    with file.open("ab", buffering=0) as out:
        while True:
            ring.create("more", "Ed25519")
            records = log.sign(requests(range(number, number + 4)))
            number += 4
            out.write(b"\n".join(encode(record).hex().encode() for record in records) + b"\n.\n")
            say(number)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    {"sign": sign_on_request, "grow": grow_a_log}[what](opened(*rest[:3]), *rest[3:])
