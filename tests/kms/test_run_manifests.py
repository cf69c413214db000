"""Manifests outside Kafka: DSSE as its specification has it, and every single change refused under its own name."""

import base64
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis.strategies import binary, dictionaries, integers, lists, none, recursive, text

from kms.algorithms import LOG_SUITES
from kms.documents import MAX_DOCUMENT_BYTES, read, write
from kms.dsse import pae, read_envelope, sign
from kms.envelope import MANIFEST_USE, manifest_in, sign_manifest, verify_envelope
from kms.epochs import FIRST, Policy
from kms.errors import (
    BrokenAlgorithm,
    MalformedDocument,
    MalformedEnvelope,
    MalformedManifest,
    MissingSuite,
    OutOfForce,
    UnknownAlgorithm,
    Unsigned,
    VerificationError,
    WrongBinding,
    WrongSignature,
)
from kms.keyring import KeyRing
from kms.manifest import PAYLOAD_TYPE
from kms.statement import Artifact, Sha256, predicate, read_statement, statement
from kms.suites import suites
from kms.trust import TrustRoot


def made(suite="ML-KEM:ML-DSA", outputs=(), **fields):
    return statement(predicate("job-1", suites(suite), backend="ibm_qpu_1", **fields), outputs)


@pytest.fixture(scope="session")
def signing(ring):
    return lambda algorithms: ring.ensure(MANIFEST_USE, algorithms)


@pytest.fixture(scope="session")
def envelope(signing):
    return sign_manifest(made(), signing)


def verify(document, trust):
    return list(verify_envelope(read_envelope(document), trust))


def changed(envelope, change):
    """The envelope with its payload changed as JSON, signatures as they were."""
    document = envelope.document()
    payload = json.loads(envelope.payload)
    change(payload)
    document["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    return document


def test_the_pre_authentication_encoding_and_an_envelope_are_those_of_the_specification():
    """The test vector of DSSE's protocol.md, ECDSA P-256 with SHA-256; the key is given by its coordinates."""
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    document = {
        "payload": "aGVsbG8gd29ybGQ=",
        "payloadType": "http://example.com/HelloWorld",
        "signatures": [
            {"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="},
        ],
    }
    found = read_envelope(document)
    x = 46950820868899156662930047687818585632848591499744589407958293238635476079160
    y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
    signature = found.signatures[0]
    assert signature.keyid == ""
    r, s = int.from_bytes(signature.sig[:32], "big"), int.from_bytes(signature.sig[32:], "big")
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    key.verify(encode_dss_signature(r, s), found.signed_bytes(), ec.ECDSA(SHA256()))


@given(text(max_size=40), binary(max_size=200))
def test_an_envelope_is_read_as_it_was_written_in_either_alphabet(kind, payload):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        document = {"payload": encode(payload).decode(), "payloadType": kind, "signatures": [], "extra": 1}
        found = read_envelope(document)
        assert (found.payload, found.payload_type) == (payload, kind)
        assert read_envelope(found.document()) == found


def test_an_envelope_in_another_text_of_the_same_bytes_is_refused():
    for payload in ("YQ==", "YR=="):
        assert base64.b64decode(payload) == b"a"
    with pytest.raises(MalformedEnvelope, match="payload is no base64"):
        read_envelope({"payload": "YR==", "payloadType": "x", "signatures": []})


def test_both_signatures_are_over_the_encoding_and_the_required_suites_stand_inside(envelope, ring):
    assert json.loads(envelope.payload)["predicate"]["crypto"]["signatures"] == ["ECDSA-P384", "ML-DSA-65"]
    signed = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(envelope.payload), envelope.payload)
    classical, quantum = envelope.signatures
    r, s = int.from_bytes(classical.sig[:48], "big"), int.from_bytes(classical.sig[48:], "big")
    load_der_public_key(ring.key(classical.keyid).spki).verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA384()))
    load_der_public_key(ring.key(quantum.keyid).spki).verify(quantum.sig, signed)


def test_a_manifest_verifies_in_json_and_yaml_and_says_its_links(envelope, ring):
    for form in ("json", "yaml"):
        document = read(io.BytesIO(write(envelope.document(), form).encode()))
        names = [link.name for link in verify(document, ring.public())]
        assert names == ["manifest", "suites", "signature ECDSA-P384", "signature ML-DSA-65", "subject"]


@pytest.mark.parametrize("suite", ["ML-KEM-1024:ML-DSA-87", "ML-KEM-512:SLH-DSA-SHA2-192f"])
def test_another_suite_that_is_as_strong_serves(suite, signing, ring):
    made_so = sign_manifest(made(suite), signing)
    assert verify(made_so.document(), ring.public())[-1].name == "subject"
    assert manifest_in(made_so).predicate.crypto.kem == suite.partition(":")[0]


def test_a_weaker_suite_than_the_trust_root_requires_does_not(signing, ring):
    with pytest.raises(MissingSuite, match="ML-DSA-65 or as strong"):
        verify(sign_manifest(made("ML-KEM:ML-DSA-44"), signing).document(), ring.public())


CHANGES = {
    "another backend": (lambda body: body["predicate"].update(backend="ibm_qpu_2"), WrongSignature, "ECDSA-P384"),
    "a suite taken out": (lambda body: body["predicate"]["crypto"].update(signatures=["ECDSA-P384"]), MissingSuite, "ML-DSA-65"),
    "a weaker suite": (
        lambda body: body["predicate"]["crypto"].update(signatures=["ECDSA-P384", "ML-DSA-44"]),
        MissingSuite,
        "ML-DSA-65",
    ),
    "an unknown suite": (lambda body: body["predicate"]["crypto"].update(signatures=["MD5"]), UnknownAlgorithm, "'MD5'"),
    "an unknown field": (lambda body: body["predicate"].update(colour="red"), MalformedManifest, "predicate.colour"),
    "an unknown field deep inside": (lambda body: body["predicate"]["job"].update(colour=1), MalformedManifest, "job.colour"),
    "a field taken away": (lambda body: body["predicate"].pop("job"), MalformedManifest, "predicate.job"),
    "another kind of statement": (lambda body: body.update(predicateType="x"), MalformedManifest, "predicateType"),
    "no time": (lambda body: body["predicate"]["crypto"].pop("signed_at"), Unsigned, "when it was signed"),
    "another time": (
        lambda body: body["predicate"]["crypto"].update(signed_at="2020-01-01T00:00:00Z"),
        WrongSignature,
        "ECDSA-P384",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_refused_under_its_name(change, envelope, ring):
    make, error, message = CHANGES[change]
    with pytest.raises(error, match=message):
        verify(changed(envelope, make), ring.public())


@pytest.mark.parametrize("at", [0, 1])
def test_stripping_or_bending_either_signature_fails(at, envelope, ring):
    suite = ("ECDSA-P384", "ML-DSA-65")[at]
    stripped = envelope.document()
    del stripped["signatures"][at]
    with pytest.raises(MissingSuite, match=suite):
        verify(stripped, ring.public())
    bent = envelope.document()
    signature = bytearray(base64.b64decode(bent["signatures"][at]["sig"]))
    signature[7] ^= 1
    bent["signatures"][at]["sig"] = base64.b64encode(signature).decode()
    with pytest.raises(WrongSignature, match=suite):
        verify(bent, ring.public())
    copied = envelope.document()
    copied["signatures"][at] = {"keyid": copied["signatures"][at]["keyid"], "sig": copied["signatures"][1 - at]["sig"]}
    with pytest.raises(WrongSignature):
        verify(copied, ring.public())


def test_key_ids_prove_nothing_and_may_be_missing(envelope, ring):
    document = envelope.document()
    for one in document["signatures"]:
        del one["keyid"]
    assert verify(document, ring.public())
    document["signatures"] = [{"keyid": one["keyid"], "sig": "AAAA"} for one in envelope.document()["signatures"]]
    with pytest.raises(WrongSignature):
        verify(document, ring.public())


def test_keys_of_another_use_or_another_ring_do_not_count(ring, envelope, token, tmp_path):
    with pytest.raises(MissingSuite, match="no trusted key"):
        verify(sign_manifest(made(), lambda algorithms: ring.ensure("other", algorithms)).document(), ring.public())
    with pytest.raises(MissingSuite, match="no trusted key"):
        verify(envelope.document(), KeyRing.open(tmp_path / "keys.db", token).public())


def test_a_revoked_key_is_named_and_a_signature_dated_before_its_key_is_refused(token, tmp_path):
    ring = KeyRing.open(tmp_path / "keys.db", token)
    signed = sign_manifest(made(), lambda algorithms: ring.ensure(MANIFEST_USE, algorithms))
    early = made()
    at = ring.key(f"{MANIFEST_USE}/ML-DSA-65/1").life.activates.replace(year=2020)
    early = early.model_copy(update={"predicate": early.predicate.model_copy(update={"crypto": dated(early, at)})})
    backdated = sign(PAYLOAD_TYPE, early.payload(), ring.ensure(MANIFEST_USE, ("ECDSA-P384", "ML-DSA-65")))
    with pytest.raises(OutOfForce, match="in force from"):
        verify(backdated.document(), ring.public())
    ring.change(f"{MANIFEST_USE}/ML-DSA-65/1", "revoke")
    with pytest.raises(MissingSuite, match="manifest/ML-DSA-65/1 is revoked"):
        verify(signed.document(), ring.public())


def dated(manifest, at):
    return manifest.predicate.crypto.model_copy(update={"signed_at": at})


def test_what_stands_on_broken_algorithms_alone_proves_nothing(envelope, ring):
    now_broken = replace(ring.public(), required_suites=LOG_SUITES, epochs=())
    policy = Policy((FIRST,)).following(("SLH-DSA-SHA2-192s",), datetime.now(UTC), broken=["ML-DSA-65"])
    trust = replace(now_broken, required_suites=policy.newest.required, epochs=policy.epochs)
    assert [link.name for link in verify(envelope.document(), trust)] == ["manifest", "suites", "signature ECDSA-P384", "subject"]
    worse = policy.following(("SLH-DSA-SHA2-192s",), datetime.now(UTC) + timedelta(1), broken=["ECDSA-P384"])
    with pytest.raises(BrokenAlgorithm, match="ECDSA-P384 and ML-DSA-65 alone"):
        verify(envelope.document(), replace(trust, epochs=worse.epochs))


ENVELOPES = {
    "no object": ([], "no JSON object"),
    "no payload": ({"payloadType": "x", "signatures": []}, "no 'payload'"),
    "no type": ({"payload": "", "signatures": []}, "no 'payloadType'"),
    "no signatures": ({"payload": "", "payloadType": "x"}, "no 'signatures'"),
    "payload is no base64": ({"payload": "é", "payloadType": "x", "signatures": []}, "payload is no base64"),
    "signatures are no list": ({"payload": "", "payloadType": "x", "signatures": {}}, "'signatures' of the envelope is no list"),
    "a signature without sig": ({"payload": "", "payloadType": "x", "signatures": [{}]}, "signature 1 has no 'sig'"),
    "too many": ({"payload": "", "payloadType": "x", "signatures": [{"sig": ""}] * 65}, "65 signatures"),
    "a signature twice": ({"payload": "", "payloadType": "x", "signatures": [{"keyid": "k", "sig": "AAAA"}] * 2}, "stands twice"),
    "another type of payload": ({"payload": "", "payloadType": "text/plain", "signatures": []}, "text/plain"),
}


@pytest.mark.parametrize("case", ENVELOPES)
def test_a_malformed_envelope_is_refused_in_a_sentence(case):
    document, message = ENVELOPES[case]
    with pytest.raises(MalformedEnvelope, match=message):
        list(verify_envelope(read_envelope(document), TrustRoot(())))


TEXTS = {
    "neither JSON nor YAML": (b'{"a": ', "no JSON"),
    "a name twice": (b'{"a": 1, "a": 2}', "'a' stands twice"),
    "a name twice in YAML": (b"a: 1\na: 2\n", "'a' stands twice"),
    "an alias": (b"a: &x [1]\nb: *x\n", "alias"),
    "an object of Python": (b"a: !!python/object:os.system {}\n", "no YAML"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "no text": (b"\xff\xfe{", "no YAML"),
    "a deep nest": (b'{"a":' * 100_000, "nested too deeply"),
    "too large": (b" " * (MAX_DOCUMENT_BYTES + 1), "16,777,216 bytes"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_that_could_be_read_in_two_ways_is_read_in_none(case):
    content, message = TEXTS[case]
    with pytest.raises(MalformedDocument, match=message):
        read(io.BytesIO(content))


VALUES = recursive(
    none() | integers(-(2**60), 2**60) | text(), lambda some: lists(some) | dictionaries(text(), some), max_leaves=10
)


@given(dictionaries(text(), VALUES))
def test_what_is_written_is_read_again_in_both_forms(document):
    for form in ("json", "yaml"):
        assert read(io.BytesIO(write(document, form).encode())) == document


def test_a_manifest_about_its_job_alone_says_nothing_else_than_its_subject(signing, ring):
    manifest = made()
    other = manifest.model_copy(update={"predicate": made(shots=7).predicate})
    with pytest.raises(WrongBinding, match="urn:quantumai:job:job-1"):
        verify(sign_manifest(other, signing).document(), ring.public())
    output = Artifact(name="counts.json", digest=Sha256(sha256="0" * 64))
    assert verify(sign_manifest(made(outputs=[output]), signing).document(), ring.public())[-1].says.startswith("counts.json")


def test_integers_that_json_may_round_are_written_as_text():
    manifest = made(parameters={"large": 2**60})
    assert json.loads(manifest.payload())["predicate"]["parameters"] == {"large": str(2**60)}
    assert read_statement(json.loads(manifest.payload())).payload() == manifest.payload()


@pytest.mark.parametrize("asked", ["ML-DSA", "ML-KEM:", ":ML-DSA", "ML-KEM:Ed25519", "ML-DSA:ML-KEM", "KYBER:ML-DSA"])
def test_a_suite_that_is_none_is_refused(asked):
    with pytest.raises(UnknownAlgorithm):
        suites(asked)


@given(binary(max_size=300))
def test_no_bytes_are_an_envelope_that_verifies(content):
    with pytest.raises(VerificationError):
        list(verify_envelope(read_envelope(read(io.BytesIO(content))), TrustRoot(())))
