"""The table of algorithms: signatures in exactly one form, under exactly one kind of key."""

import pytest
from kms_events import software_keys

from kms.algorithms import LOG_SUITES, SIGNATURES, signature_algorithm
from kms.errors import UnknownAlgorithm, WrongSignature
from schemas.errors import InputError

KEYS = {key.public.algorithm: key for key in software_keys()}


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_signatures_have_the_length_of_the_table(name):
    key = KEYS[name]
    signature = key.sign(b"data")
    assert len(signature) == SIGNATURES[name].signature_bytes
    SIGNATURES[name].verify(key.public.spki, signature, b"data")


def test_what_logs_demand_is_one_classical_and_one_post_quantum_algorithm():
    assert sorted(SIGNATURES[name].classical for name in LOG_SUITES) == [False, True]


def test_an_ecdsa_signature_without_its_leading_zero_is_another_form_and_refused():
    key = KEYS["ECDSA-P384"]
    data = b"data"
    signature = next(made for made in (key.sign(data) for _ in range(100_000)) if made[48] == 0)
    key.public.verify(signature, data)
    with pytest.raises(WrongSignature, match="96 bytes"):
        key.public.verify(signature[:48] + signature[49:], data)


@pytest.mark.parametrize("name", sorted(SIGNATURES))
@pytest.mark.parametrize("spki", [b"", b"\x30\x00", b"not a key"])
def test_what_is_no_key_is_refused(name, spki):
    with pytest.raises(WrongSignature, match="cannot be read"):
        SIGNATURES[name].verify(spki, b"", b"data")


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_a_key_of_another_algorithm_is_refused(name):
    other = next(key for other, key in KEYS.items() if other != name)
    with pytest.raises(WrongSignature):
        SIGNATURES[name].verify(other.public.spki, KEYS[name].sign(b"data"), b"data")


def test_an_unknown_algorithm_is_the_inputs_fault():
    with pytest.raises(UnknownAlgorithm, match="known: ECDSA-P384, ML-DSA-65") as caught:
        signature_algorithm("ROT13")
    assert isinstance(caught.value, InputError)
