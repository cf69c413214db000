"""Secrets are searched for everywhere: files, logs, errors, tracebacks, the key ring, the trust root. Only the PIN file has one.

What is searched for: the PIN; of sealed keys the very secrets, taken where they are made and where they are unsealed; the password
of a database. In every form that a careless line would write: bytes, hex in both cases, base64 in both alphabets, Python's repr.
"""

import base64
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("canary_run.py")


def forms(secret):
    """How a secret could look in a file. Of long ones also pieces, for what is cut, wrapped or truncated."""
    pieces = {secret, secret[:16], secret[16:32], secret[-16:]} if len(secret) >= 32 else {secret}
    for piece in pieces:
        yield from (piece, piece.hex().encode(), piece.hex().upper().encode(), repr(piece)[2:-1].encode())
        for shift in range(3):  # base64 of a longer text has another shape at each of three positions
            inner = base64.b64encode(bytes(shift) + piece)[4 if shift else 0 : -4]
            yield inner
            yield inner.replace(b"+", b"-").replace(b"/", b"_")


def found(secrets, contents):
    """(name of the secret, place) of each that is somewhere."""
    needles = [(name, form) for name, secret in secrets.items() for form in forms(secret) if len(form) >= 12]
    return [(name, place) for place, content in contents for name, form in needles if form in content]


@pytest.mark.parametrize(
    "write", [bytes, bytes.hex, base64.b64encode, base64.urlsafe_b64encode, repr, lambda secret: b"xx" + secret[:20]]
)
def test_the_search_finds_what_it_should(write, tmp_path):
    secret = bytes(range(200, 232))
    text = write(secret)
    content = b"before " + (text if isinstance(text, bytes) else text.encode()) + b" after"
    assert found({"it": secret}, [("file", content)])
    for before in (b"", b"a", b"ab"):
        assert found({"it": secret}, [("file", base64.b64encode(before + secret + b"after"))])
    assert not found({"it": secret}, [("file", b"nothing of the kind" * 100)])


def test_no_secret_is_anywhere_but_in_the_pin_file(provisioned, tmp_path):
    """A life of keys in a process of its own, whose output, logs and errors are kept, with debug logging on."""
    made = tmp_path / "made"
    made.mkdir()
    command = [sys.executable, PROGRAM, provisioned.module, provisioned.folder, made]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    secrets, errors = pickle.loads(done.stdout)  # noqa: S301 - by our own program, over a pipe
    sealed = [name for name in secrets if name.startswith("secret")]
    assert bool(sealed) is ("softhsm" in provisioned.module.name)
    assert errors > 5
    files = [path for folder in (made, provisioned.folder) for path in folder.rglob("*") if path.is_file()]
    contents = [(str(path), path.read_bytes()) for path in files if path != provisioned.pin_file]
    contents.append(("stderr", done.stderr))
    assert {"keys.db", "trust.json", "log.txt", "errors.txt", "keys.json"} <= {Path(place).name for place, _ in contents}
    assert found(secrets, contents) == []
    assert found({"PIN": secrets["PIN"]}, [("pin file", provisioned.pin_file.read_bytes())])
