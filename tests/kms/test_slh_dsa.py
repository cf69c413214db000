"""SLH-DSA verification in Python: what others sign it accepts, and nothing else; every set, hash by hash."""

import random
from functools import partial

import pqcrypto
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kms.algorithms import SIGNATURES
from kms.slh_dsa import SETS, accepts

QUICK_KEY = pqcrypto.slh_dsa_sha2_128f.keygen()
QUICK = [name for name in SETS if name.endswith("f")]


def scheme(name):
    return getattr(pqcrypto, name.lower().replace("-", "_"))


def test_the_sets_are_those_of_the_table_of_algorithms():
    assert {name: row.signature_bytes for name, row in SIGNATURES.items() if name.startswith("SLH")} == {
        name: each.signature_bytes for name, each in SETS.items()
    }


@pytest.mark.parametrize("name", SETS)
def test_what_rust_signs_verifies_and_nothing_near_it_does(name):
    public, secret = scheme(name).keygen()
    signature = scheme(name).sign(secret, b"data")
    judge = partial(accepts, name)
    assert judge(public, signature, b"data")
    draw, given_set, size = random.Random(name), SETS[name], len(signature)
    fors = given_set.n * (1 + given_set.fors_trees * (1 + given_set.fors_height))
    for begin, end in ((0, given_set.n), (given_set.n, fors), (fors, size), (size - 40, size)):
        bent = bytearray(signature)
        bent[draw.randrange(begin, end)] ^= 1 << draw.randrange(8)
        assert not judge(public, bytes(bent), b"data")
    for at in (0, len(public) - 1):
        other = bytearray(public)
        other[at] ^= 1
        assert not judge(bytes(other), signature, b"data")
    assert not judge(public, signature, b"date")
    for wrong in (signature[:-1], signature + b"\0", b""):
        assert not judge(public, wrong, b"data")
    assert not judge(public[:-1], signature, b"data")


@pytest.mark.parametrize("name", QUICK)
def test_the_token_s_signatures_verify(name, token, ring):
    """On Kryoptic they are OpenSSL's: a third implementation."""
    ring.create("opinion", name)
    key = ring.key(f"opinion/{name}/1")
    raw = key.spki[-SIGNATURES[name].public_bytes :]
    signature = ring.sign(key.kid, b"data")
    assert accepts(name, raw, signature, b"data") and not accepts(name, raw, signature, b"")


@settings(max_examples=12, deadline=None)
@given(data=st.binary(max_size=200))
def test_two_implementations_agree_on_any_message(data):
    public, secret = QUICK_KEY
    signature = scheme("SLH-DSA-SHA2-128f").sign(secret, data)
    assert accepts("SLH-DSA-SHA2-128f", public, signature, data)
