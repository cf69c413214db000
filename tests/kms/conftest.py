"""Real tokens, one of each kind for the whole run: a module reads its configuration once a process."""

from pathlib import Path

import pytest

from kms.algorithms import LOG_SUITES
from kms.keyring import KeyRing
from kms.keys import LOG_USE
from kms.provision import Provisioned, init_token
from kms.tls.authority import CA_ALGORITHMS, CA_USE, Authority
from kms.token import open_token

ROOT = Path(__file__).parents[2]
MODULES = {
    "kryoptic": ROOT / "build" / "token" / "libkryoptic_token.so",
    "softhsm2": Path("/usr/lib/softhsm/libsofthsm2.so"),
}
ABSENT = {
    "kryoptic": "the PKCS#11 3.2 token is not built: sh deploy/token/build.sh",
    "softhsm2": "SoftHSM2 is not installed: apt-get install softhsm2",
}
_made: dict[str, Provisioned] = {}


@pytest.fixture(scope="session", params=sorted(MODULES))
def provisioned(request, tmp_path_factory):
    """A freshly made token of each kind."""
    kind = request.param
    if not MODULES[kind].is_file():
        pytest.skip(ABSENT[kind])
    if kind not in _made:  # pytest asks again whenever the parameter changes, and a module would go on with the first folder
        _made[kind] = init_token(MODULES[kind], "tests", tmp_path_factory.mktemp(kind) / "token")
    return _made[kind]


@pytest.fixture(scope="session")
def token(provisioned):
    return open_token(provisioned.module, provisioned.label, provisioned.pin_file.read_text(), provisioned.folder)


@pytest.fixture(scope="session")
def ring(token, tmp_path_factory):
    return KeyRing.open(tmp_path_factory.mktemp("ring") / "keys.db", token)


@pytest.fixture(scope="session")
def keys(ring):
    return ring.ensure(LOG_USE, LOG_SUITES)


@pytest.fixture(scope="session")
def authority(token, tmp_path_factory):
    """A TLS authority with keys of its own."""
    ring = KeyRing.open(tmp_path_factory.mktemp("tls") / "keys.db", token)
    return Authority(ring.ensure(CA_USE, CA_ALGORITHMS))
