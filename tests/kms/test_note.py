"""Checkpoints as signed notes: their exact text, and that no signature can be stripped, swapped or forged."""

import base64
import hashlib
from dataclasses import replace

import pytest
from kms_events import START, SoftwareKeys, software_keys, trusting

from kms.epochs import Policy
from kms.errors import MalformedNote, MissingSuite, WrongSignature
from kms.keys import PublicKey
from kms.note import Checkpoint, key_id, read_note, sign_note, verify_note
from schemas.record import now

SUITES = ("ECDSA-P384", "ML-DSA-65")
CHECKPOINT = Checkpoint("test.example/3", 42, bytes(range(32)), SUITES, START)
KEYS = software_keys()
NOTE = sign_note(CHECKPOINT, KEYS)
TEXT = """test.example/3
42
AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
suites ECDSA-P384 ML-DSA-65
time 2026-01-02T03:04:05.678901+00:00
"""


def lines(note):
    return note.removeprefix(TEXT + "\n").splitlines()


def with_lines(*kept):
    return TEXT + "\n" + "".join(f"{line}\n" for line in kept)


def test_a_note_is_its_text_a_blank_line_and_two_signatures():
    assert NOTE.startswith(TEXT + "\n— test.example/3 ")
    assert len(lines(NOTE)) == 2
    note = read_note(NOTE)
    assert note.checkpoint == CHECKPOINT
    verify_note(note, trusting(KEYS))


def test_real_tokens_sign_notes(keys, ring):
    verify_note(read_note(sign_note(replace(CHECKPOINT, signed_at=now()), keys)), ring.public())


def test_key_ids_are_those_of_the_specification():
    for line, key in zip(lines(NOTE), KEYS, strict=True):
        name = b"test.example/3\n\xffurn:quantumai:note:" + key.public.algorithm.encode()
        assert base64.b64decode(line.split(" ")[2])[:4] == hashlib.sha256(name + key.public.spki).digest()[:4]
    assert key_id("test.example/3", KEYS[0].public) != key_id("test.example/4", KEYS[0].public)


@pytest.mark.parametrize("kept", [0, 1])
def test_stripping_either_signature_breaks_the_note(kept):
    stripped = with_lines(lines(NOTE)[kept])
    with pytest.raises(MissingSuite, match=f"for {SUITES[1 - kept]}$"):
        verify_note(read_note(stripped), trusting(KEYS))


@pytest.mark.parametrize("suite", SUITES)
def test_stripping_the_demand_with_the_signature_breaks_the_other_signature(suite):
    kept = SUITES.index(suite)
    stripped = with_lines(lines(NOTE)[kept]).replace("suites ECDSA-P384 ML-DSA-65", f"suites {suite}")
    with pytest.raises(MissingSuite, match="does not demand"):
        verify_note(read_note(stripped), trusting(KEYS))
    with pytest.raises(WrongSignature):
        verify_note(read_note(stripped), trusting(KEYS, required_suites=(suite,)))


def test_a_signer_of_one_suite_alone_is_refused():
    note = sign_note(Checkpoint("test.example/3", 42, bytes(32), ("ECDSA-P384",), START), KEYS[:1])
    with pytest.raises(MissingSuite, match="does not demand ML-DSA-65"):
        verify_note(read_note(note), trusting(KEYS))
    verify_note(read_note(note), trusting(KEYS, required_suites=("ECDSA-P384",)))


def test_what_the_note_itself_demands_is_demanded():
    stripped = with_lines(lines(NOTE)[0])
    with pytest.raises(MissingSuite, match="ML-DSA-65"):
        verify_note(read_note(stripped), trusting(KEYS, required_suites=("ECDSA-P384",)))


def test_the_same_suite_twice_does_not_stand_for_the_other():
    again = lines(sign_note(CHECKPOINT, KEYS[:1]))[0]  # ECDSA draws another number
    with pytest.raises(MissingSuite, match="ML-DSA-65"):
        verify_note(read_note(with_lines(lines(NOTE)[0], again)), trusting(KEYS))
    with pytest.raises(MalformedNote, match="twice"):
        read_note(with_lines(*lines(NOTE), lines(NOTE)[0]))


def test_another_key_of_the_suite_is_not_trusted():
    stranger = software_keys()
    with pytest.raises(MissingSuite, match="ECDSA-P384, ML-DSA-65"):
        verify_note(read_note(sign_note(CHECKPOINT, stranger)), trusting(KEYS))
    mixed = sign_note(CHECKPOINT, [KEYS[0], stranger[1]])
    with pytest.raises(MissingSuite, match="for ML-DSA-65"):
        verify_note(read_note(mixed), trusting(KEYS))


@pytest.mark.parametrize("place", [0, 1])
def test_a_signature_line_under_another_name_is_a_strangers(place):
    renamed = lines(NOTE)
    renamed[place] = renamed[place].replace("test.example/3", "test.example/4")
    with pytest.raises(MissingSuite, match=SUITES[place]):
        verify_note(read_note(with_lines(*renamed)), trusting(KEYS))


def test_signatures_of_unknown_keys_are_ignored():
    verify_note(read_note(sign_note(CHECKPOINT, [*software_keys(), *KEYS])), trusting(KEYS))


@pytest.mark.parametrize("state", ["revoked", "pre-active"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_key_that_is_not_in_force_counts_for_nothing(place, state):
    made = SoftwareKeys()
    keys = [made.key(suite, state if at == place else "active") for at, suite in enumerate(SUITES)]
    with pytest.raises(MissingSuite, match=SUITES[place]):
        verify_note(read_note(sign_note(CHECKPOINT, keys)), trusting(keys))


def test_a_key_for_another_use_counts_for_nothing():
    kept = [key.public for key in KEYS]
    other = PublicKey(kept[0].kid, "tls", kept[0].algorithm, 1, "active", kept[0].spki)

    class Trust:
        policy = Policy()

        def verifying(self, use):
            return [key for key in (other, kept[1]) if key.use == use]

    with pytest.raises(MissingSuite, match="ECDSA-P384"):
        verify_note(read_note(NOTE), Trust())


def test_every_byte_of_the_text_is_signed():
    refused = 0
    for at, letter in enumerate(TEXT):
        changed = TEXT[:at] + ("1" if letter != "1" else "2") + TEXT[at + 1 :]
        with pytest.raises((MalformedNote, MissingSuite, WrongSignature)):
            verify_note(read_note(changed + NOTE.removeprefix(TEXT)), trusting(KEYS))
        refused += 1
    assert refused == len(TEXT)


@pytest.mark.parametrize("place", [0, 1])
def test_every_signature_byte_counts(place):
    name, _, content = lines(NOTE)[place].rpartition(" ")
    raw = base64.b64decode(content)
    for at in range(4, len(raw), 37):
        forged = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        changed = lines(NOTE)
        changed[place] = f"{name} {base64.b64encode(forged).decode()}"
        with pytest.raises(WrongSignature):
            verify_note(read_note(with_lines(*changed)), trusting(KEYS))


@pytest.mark.parametrize("place", [0, 1])
def test_bits_of_base64_that_stand_for_nothing_count_too(place):
    changed = lines(NOTE)
    assert changed[place].endswith("==")
    changed[place] = f"{changed[place][:-3]}{chr(ord(changed[place][-3]) + 1)}=="
    assert base64.b64decode(changed[place].split(" ")[2]) == base64.b64decode(lines(NOTE)[place].split(" ")[2])
    with pytest.raises(MalformedNote, match="bits that stand for nothing"):
        read_note(with_lines(*changed))


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        TEXT + "\n",
        NOTE[:-1],
        NOTE.replace("\n42\n", "\n042\n"),
        NOTE.replace("\n42\n", "\n-1\n"),
        NOTE.replace("\n42\n", "\n٤٢\n"),
        NOTE.replace("\n42\n", "\n" + "9" * 5000 + "\n"),
        NOTE.replace("AAECAwQF", "AAECAwQ="),
        NOTE.replace("AAECAwQF", ""),
        NOTE.replace("suites ECDSA-P384 ML", "suites ECDSA-P384  ML"),
        NOTE.replace("\nsuites ", "\nsuite "),
        NOTE.replace("time 2026", "time 20x6"),
        NOTE.replace("+00:00", "Z"),
        NOTE.replace("\ntime", "\nmore\ntime"),
        NOTE.replace("— ", "- "),
        NOTE + "\n",
        NOTE + "— test.example/3 ????\n",
        NOTE + "x" * 300_000 + "\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(note):
    with pytest.raises(MalformedNote):
        read_note(note)
