"""Witnesses: cosignatures as C2SP has them, a memory that no one else's word changes, and forks and rollbacks by name."""

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from kms_events import Clock, Log, requests, software_keys, trusting

from kms.cosignature import WitnessKey, cosign
from kms.errors import (
    Fork,
    MalformedNote,
    MissingCheckpoint,
    MissingSuite,
    NotWitnessed,
    RolledBack,
    TrustError,
    WrongConsistency,
    WrongSignature,
)
from kms.note import read_note
from kms.vouched import Demands, VouchedVerifier, read_witnesses
from kms.witness import Witness, WitnessMemory
from schemas.manifests import LogCheckpoint

KEYS = software_keys()
TRUST = trusting(KEYS)
AT = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


def history(*batches, start=0, partition=0, beats=False):
    log, number = Log(KEYS, partition, clock=Clock()), start
    log.signer._heartbeat_seconds = 0
    for size in batches:
        log.sign(requests(range(number, number + size)))
        number += size
        if beats:
            log.heartbeat()
    return log


def heads(log):
    return [record for record in log.records if isinstance(record, LogCheckpoint)]


@pytest.fixture(params=["Ed25519", "ML-DSA-44"])
def key(request, ring):
    return ring.ensure("witness", (request.param,))[0]


@pytest.fixture
def witness(key):
    return WitnessKey.of("witness.example/w1", key)


@pytest.fixture
def see(key, witness):
    """Shows checkpoints to a witness with a memory; (memory after it, what it found)."""

    def see(memory, checkpoints, trust=TRUST):
        found = []
        seen = Witness(memory or WitnessMemory(witness.vkey, {}), trust, found.append)
        for one in checkpoints:
            seen.checkpoint(one)
        return seen.cosigned(witness, key, AT), found

    return see


def test_a_cosignature_is_over_what_the_specification_says(key, witness):
    note = read_note(heads(history(3))[-1].note)
    line = cosign(note, witness, key, AT)
    name, encoded = line.removeprefix("— ").removesuffix("\n").split(" ")
    content = base64.b64decode(encoded)
    raw, kind = witness.raw, {"Ed25519": 4, "ML-DSA-44": 6}[witness.algorithm]
    assert name == "witness.example/w1"
    assert content[:4] == hashlib.sha256(b"witness.example/w1\n" + bytes([kind]) + raw).digest()[:4]
    seconds = int(AT.timestamp())
    assert int.from_bytes(content[4:12], "big") == seconds
    if kind == 4:
        message = f"cosignature/v1\ntime {seconds}\n{note.text}".encode()
    else:
        origin = note.checkpoint.origin.encode()
        message = b"subtree/v1\n\0" + bytes([18]) + b"witness.example/w1" + seconds.to_bytes(8, "big")
        message += bytes([len(origin)]) + origin + (0).to_bytes(8, "big") + (3).to_bytes(8, "big") + note.checkpoint.root
    load_der_public_key(key.public.spki).verify(content[12:], message)
    assert witness.vkey == f"witness.example/w1+{content[:4].hex()}+{base64.b64encode(bytes([kind]) + raw).decode()}"
    assert WitnessKey.read(witness.vkey) == witness


@pytest.mark.parametrize("bad", ["", "a+b", "a+00000000+!", "a b+00000000+BAAA", "w+00000000+" + "BAAA" * 11, "w+0+Ag=="])
def test_what_is_no_verifier_key_is_refused(bad):
    with pytest.raises(MalformedNote, match=r"witness|verifier key"):
        WitnessKey.read(bad)


def test_a_witness_goes_on_from_its_memory_and_cosigns_the_newest(see, witness, tmp_path):
    log = history(2, 3, beats=True)
    memory, found = see(None, heads(log))
    assert not found and read_note(memory.notes["test.example/0"]).checkpoint.size == 5
    memory.save(tmp_path / "memory")
    memory = WitnessMemory.load(tmp_path / "memory")
    log.sign(requests(range(5, 9)))
    memory, found = see(memory, heads(log))
    note = memory.note("test.example/0")
    assert not found and note.checkpoint.size == 9 and witness.verify(note) == AT
    again, found = see(memory, heads(log))
    assert not found and again.note("test.example/0").text == note.text


def test_a_fork_is_found_and_not_cosigned(see):
    memory, _ = see(None, heads(history(2, 3)))
    other = history(2, 3, start=100)
    after, found = see(memory, heads(other))
    assert [type(error) for error in found] == [Fork] and "two histories" in str(found[0]) and after.notes == memory.notes
    after, found = see(memory, heads(history(2, 7, start=100)))
    assert [type(error) for error in found] == [Fork] and "size 5" in str(found[0]) and after.notes == memory.notes


def test_a_rollback_a_lost_log_and_a_shrunken_one_are_found(see):
    log = heads(history(2, 3))
    memory, _ = see(None, log)
    for shown in (log[:1], []):
        after, found = see(memory, shown)
        assert [type(error) for error in found] == [RolledBack] and "before size 5" in str(found[0])
        assert after.notes == memory.notes
    _, found = see(memory, [*log, log[0]])
    assert [type(error) for error in found] == [Fork] and "shrank" in str(found[0])


def test_a_gap_and_a_wrong_proof_are_found(see):
    log = heads(history(2, 3, 4))
    _, found = see(None, [log[0], log[2]])
    assert [type(error) for error in found] == [MissingCheckpoint]
    _, found = see(None, log[1:])
    assert [type(error) for error in found] == [MissingCheckpoint]
    bent = log[1].model_copy(update={"consistency_proof": bytes([log[1].consistency_proof[0] ^ 1]) + log[1].consistency_proof[1:]})
    after, found = see(None, [log[0], bent, log[2]])
    assert [type(error) for error in found] == [WrongConsistency] and not after.notes


def test_what_is_not_signed_by_the_logs_keys_is_not_cosigned_and_other_logs_are(see):
    strange, good = history(2), history(3, partition=1)
    strangers = software_keys()
    foreign = Log(strangers, 2)
    foreign.sign(requests(range(4)))
    memory, found = see(None, [*heads(strange), *heads(good), *heads(foreign)])
    assert [type(error) for error in found] == [MissingSuite]
    assert sorted(memory.notes) == ["test.example/0", "test.example/1"]


def test_a_memory_that_is_none_says_so(tmp_path, witness):
    for content in ("", "[]", '{"format": 2, "vkey": "", "notes": {}}', '{"format": 1, "vkey": "x"}'):
        (tmp_path / "memory").write_text(content)
        with pytest.raises(TrustError, match="memory"):
            WitnessMemory.load(tmp_path / "memory")
    (tmp_path / "memory").write_text('{"format": 1, "vkey": "x", "notes": {"a": "b"}}')
    with pytest.raises(MalformedNote):
        WitnessMemory.load(tmp_path / "memory")


def verified(log, witness, memory, quorum=1, **options):
    demands = Demands((witness,), (memory,), quorum)
    verifier = VouchedVerifier(TRUST, demands, collect=True, **options)
    for record in log.records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    return verifier.finish()


def test_a_verifier_takes_cosignatures_and_finds_the_history_that_was_shown_to_others(see, witness):
    log = history(2, 3)
    memory, _ = see(None, heads(log))
    report = verified(log, witness, memory)
    assert report.errors == () and report.vouched["test.example/0"].witnesses[0].size == 5
    log.sign(requests(range(5, 7)))
    assert verified(log, witness, memory).errors == ()
    for batches, start, error in (((2, 3), 100, Fork), ((2,), 0, RolledBack), ((9,), 0, Fork)):
        found = verified(history(*batches, start=start), witness, memory).errors
        assert error in map(type, found), found
        assert NotWitnessed in map(type, found)
    found = verified(history(2, partition=3), witness, memory, quorum=0).errors
    assert [type(error) for error in found] == [RolledBack] and "is not there" in str(found[0])


def test_too_few_witnesses_and_bent_cosignatures_are_found(see, witness, key):
    log = history(2, 3)
    memory, _ = see(None, heads(log))
    assert [type(error) for error in verified(log, witness, memory, quorum=2).errors] == [NotWitnessed]
    twice = Demands((witness,), (memory, memory), 2)
    verifier = VouchedVerifier(TRUST, twice, collect=True)
    for record in log.records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    assert [type(error) for error in verifier.finish().errors] == [NotWitnessed]
    note = memory.notes["test.example/0"]
    line = note.splitlines(keepends=True)[-1]
    content = bytearray(base64.b64decode(line.split(" ")[2]))
    content[-1] ^= 1
    bent = note.replace(line, f"— {witness.name} {base64.b64encode(content).decode()}\n")
    found = verified(log, witness, WitnessMemory(witness.vkey, {"test.example/0": bent})).errors
    assert [type(error) for error in found] == [WrongSignature, NotWitnessed]
    stripped = WitnessMemory(witness.vkey, {"test.example/0": note.replace(line, "")})
    assert {type(error) for error in verified(log, witness, stripped).errors} == {NotWitnessed}


def test_verifier_keys_are_read_one_a_line(witness):
    assert read_witnesses(["# ours", "", witness.vkey + "\n"]) == (witness,)
