"""The key ring keeps names and states, shares them between processes, and holds nothing secret."""

import hashlib
import json
from datetime import timedelta

import pytest

from kms.errors import KeyRingError, MalformedPolicy, TrustError, UnknownAlgorithm
from kms.keyring import KeyRing
from kms.keys import LOG_USE
from kms.trust import TrustRoot
from schemas.record import now

SUITES = ("ECDSA-P384", "ML-DSA-65")


def test_keys_are_made_once_and_found_again(ring, keys, token):
    assert ring.ensure(LOG_USE, SUITES) == keys
    assert [key.public.version for key in keys] == [1, 1]
    assert {key.public.state for key in keys} == {"active"}
    reversed_keys = KeyRing.open(ring.store.path, token).ensure(LOG_USE, tuple(reversed(SUITES)))
    assert reversed_keys == list(reversed(keys))


def test_a_key_is_named_by_its_contents(keys):
    for key in keys:
        public = key.public
        name = hashlib.sha256(public.spki + b"|" + public.algorithm.encode() + b"|" + public.use.encode()).hexdigest()
        assert public.kid == name


def test_the_key_ring_holds_no_secret(ring, keys, provisioned):
    content = ring.store.path.read_bytes()
    assert keys[0].public.spki in content
    assert provisioned.pin_file.read_text().encode() not in content


def test_without_a_token_it_names_keys_and_makes_none(ring, keys, tmp_path):
    reader = KeyRing.open(ring.store.path)
    assert {key.kid for key in reader.public().verifying(LOG_USE)} >= {key.public.kid for key in keys}
    with pytest.raises(KeyRingError, match="without a token"):
        reader.ensure(LOG_USE, SUITES)


def test_another_token_is_refused(ring, keys):
    class Other:
        label = "other"

    with pytest.raises(KeyRingError, match="'tests', but 'other' is open"):
        KeyRing.open(ring.store.path, Other()).ensure(LOG_USE, SUITES)


def test_no_key_is_made_when_one_of_the_algorithms_is_unknown(token, tmp_path):
    ring = KeyRing.open(tmp_path / "keys.db", token)
    with pytest.raises(UnknownAlgorithm):
        ring.ensure(LOG_USE, ("ECDSA-P384", "ROT13"))
    assert ring.public().keys == ()


def test_a_file_that_is_no_key_ring_is_said(tmp_path):
    path = tmp_path / "keys.db"
    path.write_text("something else " * 100)
    with pytest.raises(KeyRingError, match="cannot be opened"):
        KeyRing.open(path)


def test_a_trust_root_goes_through_its_file(ring, keys, tmp_path):
    trust = ring.public()
    trust.save(tmp_path / "trust.json")
    assert TrustRoot.load(tmp_path / "trust.json") == trust
    assert trust.required_suites == SUITES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("ECDSA-P384", "ML-DSA-65"), "not named by its contents"),
        (lambda text: text.replace('"log"', '"tls"'), "not named by its contents"),
        (lambda text: text.replace('"active"', '"immortal"'), "unknown state 'immortal'"),
        (lambda text: text.replace('"format": 3', '"format": 4'), "format 4"),
        (lambda text: text.replace("+00:00", ""), "has no time zone"),
        (lambda text: text.replace('"activates"', '"awakes"'), "no trust root"),
        (lambda text: text.replace('"keys"', '"kees"'), "no trust root"),
        (lambda text: text[:-20], "no trust root"),
        (lambda text: text.replace('"spki": "', '"spki": "?'), "no trust root"),
        (lambda text: text.replace('"version"', '"edition"'), "no trust root"),
        (lambda _: "[]", "no trust root"),
    ],
)
def test_a_damaged_trust_root_is_refused(change, message, ring, keys, tmp_path):
    path = tmp_path / "trust.json"
    ring.public().save(path)
    path.write_text(change(path.read_text()))
    with pytest.raises((TrustError, MalformedPolicy), match=message):
        TrustRoot.load(path)


def test_a_trust_root_that_demands_nothing_or_the_unknown_is_refused(tmp_path):
    with pytest.raises(TrustError, match="believe anything"):
        TrustRoot((), ())
    with pytest.raises(UnknownAlgorithm):
        TrustRoot((), ("ROT13",))
    with pytest.raises(TrustError, match="there is no trust root"):
        TrustRoot.load(tmp_path / "none.json")


def test_a_trust_root_of_the_first_format_is_read_and_has_no_limits(ring, keys, tmp_path):
    ring.public().save(tmp_path / "trust.json")
    document = json.loads((tmp_path / "trust.json").read_text())
    for entry in document["keys"]:
        del entry["life"], entry["ranges"]
    (tmp_path / "trust.json").write_text(json.dumps({**document, "format": 1}))
    read = TrustRoot.load(tmp_path / "trust.json")
    assert {key.kid for key in read.verifying(LOG_USE)} >= {key.public.kid for key in keys}
    for key in read.verifying(LOG_USE):
        key.check_place("any/0", 10**9, now() - timedelta(days=10_000))


def test_of_a_destroyed_key_nothing_stays_in_the_file(token, tmp_path):
    ring = KeyRing.open(tmp_path / "keys.db", token)
    key = ring.create("gone", "ML-DSA-44")
    [entry] = ring.entries()
    sealed = entry.inside.sealed
    assert sealed is None or sealed in ring.store.path.read_bytes()
    ring.change(key.kid, "revoke")
    ring.change(key.kid, "destroy")
    assert ring.entries()[0].inside.sealed is None
    assert sealed is None or sealed[12:] not in ring.store.path.read_bytes()
