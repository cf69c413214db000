"""The chain of the audit: whatever is done to it is found and named; and it bears killed writers, and several at once."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from audit_writers import sealing_keys, use
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from kms.audit import chain
from kms.audit.chain import lines, records, verify
from kms.audit.entry import REPAIR, SEAL, Mark, digest, line
from kms.audit.forwarding import forward
from kms.audit.sealing import Sealer
from kms.audit.siem import FORMATS, ocsf, syslog
from kms.audit.trail import FILE, HEAD, Trail
from kms.audit.uses import Uses
from kms.errors import (
    AuditUnwritable,
    ChainTruncated,
    EntryDoubled,
    EntryDropped,
    EntryEdited,
    EntryMalformed,
    EntryReordered,
    SealWrong,
    Unsealed,
    VerificationError,
)
from schemas.codec import decode, encode
from schemas.manifests import KmsAudit
from schemas.record import now

KEYS = sealing_keys()
PUBLIC = [key.public for key in KEYS]
WRITER = Path(__file__).with_name("audit_writers.py")


def filled(folder, seals=3, between=4):
    trail = Trail(folder, "tests", "writer", lambda: KEYS)
    for batch in range(seals):
        for number in range(between):
            trail.append(use(batch * between + number))
        trail.seal()
    return trail


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The lines of a chain of 15 entries, sealed at 5, 10 and 15, and its head."""
    folder = tmp_path_factory.mktemp("audit")
    filled(folder)
    return (folder / FILE).read_bytes().splitlines(), Mark(**json.loads((folder / HEAD).read_text()))


def check(changed, head=(), keys=PUBLIC):
    def placed():
        for number, content in enumerate(changed, 1):
            yield chain.read(content, f"line {number}"), digest(content)

    return verify(placed(), keys, head)


def test_a_whole_chain_verifies(written):
    found, head = written
    verified = check(found, [head])
    assert (verified.entries, verified.seals, verified.unsealed, verified.mark) == (15, 3, 0, head)
    assert [json.loads(content)["sequence"] for content in found] == list(range(1, 16))


def edited(content, **fields):
    return line(KmsAudit.model_validate({**json.loads(content), **fields}))


@pytest.mark.parametrize("at", range(15))
def test_an_entry_that_is_dropped_edited_doubled_or_moved_is_named(written, at):
    found, head = written
    number, others = at + 1, random.Random(at)
    if at < 14:
        with pytest.raises(EntryDropped, match=rf"entry {number} is missing"):
            check(found[:at] + found[at + 1 :], [head])
        with pytest.raises(EntryReordered, match=rf"entry {number} stands behind entry {number + 1}"):
            check([*found[:at], found[at + 1], found[at], *found[at + 2 :]], [head])
    with pytest.raises(EntryDoubled, match=rf"entry {number} .*stands twice"):
        check([*found[: at + 1], found[at], *found[at + 1 :]], [head])
    with pytest.raises(EntryDoubled, match=rf"entry {number} .*stands twice"):
        later = others.randrange(at + 1, 16)
        check([*found[:later], found[at], *found[later:]], [head])
    with pytest.raises((EntryEdited, SealWrong), match=rf"entry {number}\b"):
        check([*found[:at], edited(found[at], actor="eve"), *found[at + 1 :]], [head])
    with pytest.raises(ChainTruncated, match=r"missing at its end" if at else "is not there"):
        check(found[:at], [head])


@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(written, data):
    found, head = written
    at = data.draw(st.integers(0, len(found) - 1))
    place = data.draw(st.integers(0, len(found[at]) * 8 - 1))
    changed = bytearray(found[at])
    changed[place // 8] ^= 1 << place % 8
    with pytest.raises(VerificationError):
        check([*found[:at], *bytes(changed).split(b"\n"), *found[at + 1 :]], [head])


def rechained(entries):
    """What whoever can write the file but has no key can do: all digests anew."""
    made, previous = [], ""
    for number, content in enumerate(entries, 1):
        made.append(edited(content, previous=previous, sequence=number))
        previous = digest(made[-1])
    return made


def test_a_chain_that_was_written_anew_fails_at_its_first_seal(written):
    found, head = written
    with pytest.raises(SealWrong, match="the seal at entry 5 does not verify"):
        check(rechained([edited(found[0], actor="eve"), *found[1:]]))
    without_seals = [content for content in found if json.loads(content)["action"] != SEAL]
    with pytest.raises(EntryEdited, match="is not the one that was seen there before"):
        check(rechained([*without_seals, *without_seals]), [head])
    old = [edited(content, at=(now() - timedelta(minutes=2)).isoformat()) for content in without_seals]
    with pytest.raises(Unsealed, match="entries 1 to 12 are signed by nobody"):
        check(rechained(old))


def test_a_seal_counts_by_both_suites_of_trusted_keys_in_force(written):
    found, _ = written
    seal = json.loads(found[4])
    for suite in range(2):
        one = edited(found[4], signatures=[seal["signatures"][suite]])
        with pytest.raises(SealWrong, match=f"no signature of a trusted key for {seal['signatures'][1 - suite]['algorithm']}"):
            check([*found[:4], one])
    with pytest.raises(SealWrong, match="no signature of a trusted key for ECDSA-P384, ML-DSA-65"):
        check(found, keys=[key.public for key in sealing_keys()])


def test_lines_that_are_no_entries(written, tmp_path):
    found, _ = written
    file = tmp_path / "x"
    for content, kind in (
        (b"", EntryMalformed),
        (b"{}", EntryMalformed),
        (b"\xff", EntryMalformed),
        (found[1].replace(b",", b", ", 1), EntryMalformed),
        (b'{"action":' * 5000, EntryMalformed),
    ):
        file.write_bytes(b"\n".join((found[0], content, *found[2:], b"")))
        with pytest.raises(kind, match="line 2"):
            verify(lines(file), PUBLIC)
    file.write_bytes(b"\n".join(found))
    with pytest.raises(ChainTruncated, match=r"line 15 .*has no end"):
        verify(lines(file), PUBLIC)
    with pytest.raises(ChainTruncated, match="no audit at"):
        verify(lines(tmp_path / "none"), PUBLIC)


def test_a_chain_goes_on_where_the_last_process_left_it(tmp_path):
    filled(tmp_path)
    again = Trail(tmp_path, "tests", "second", lambda: KEYS)
    [entry] = again.append(use(99))
    assert entry.sequence == 16
    assert again.seal().sequence == 17
    assert again.seal() is None
    assert verify(lines(tmp_path / FILE), PUBLIC).entries == 17


def test_nothing_is_written_behind_what_does_not_hang_together(tmp_path):
    trail = filled(tmp_path, seals=1)
    trail.append(use(1), use(2), use(3))
    content = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(b"".join([*content[:6], content[7]]))
    for writer in (trail, Trail(tmp_path, "tests", "other", lambda: KEYS)):
        with pytest.raises(AuditUnwritable, match="audit verify"):
            writer.append(use(4))


def test_a_chain_in_place_of_another_says_so(tmp_path):
    filled(tmp_path)
    head = Mark(**json.loads((tmp_path / HEAD).read_text()))
    (tmp_path / FILE).rename(tmp_path / "old")
    Trail(tmp_path, "tests", "writer").append(use())
    first, *_ = lines(tmp_path / FILE)
    assert head.digest in first[0].detail
    with pytest.raises(ChainTruncated, match="seen up to entry 15, is not there"):
        verify(lines(tmp_path / FILE), PUBLIC, [head])


@pytest.fixture
def keys_in(tmp_path):
    for at, key in enumerate(KEYS):
        pem = key.token.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{at}.pem").write_bytes(pem)
    return tmp_path


def start(folder, name, count):
    roots = os.pathsep.join((str(WRITER.parents[2]), str(WRITER.parent)))
    command = [sys.executable, WRITER, folder, name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": roots})


def test_processes_and_threads_write_one_chain(keys_in):
    processes = [start(keys_in, name, 150) for name in ("one", "two")]
    trail = Trail(keys_in, "tests", "threads", lambda: KEYS)
    with Sealer(trail):
        threads = [threading.Thread(target=lambda: [trail.append(use()) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for process in processes:
            said, _ = process.communicate(timeout=120)
            assert (process.returncode, len(said.splitlines())) == (0, 150)
    found = [entry for entry, _ in lines(keys_in / FILE)]
    verify(lines(keys_in / FILE), PUBLIC, [Mark(**json.loads((keys_in / HEAD).read_text()))])
    of = {name: [int(entry.detail) for entry in found if entry.actor == name and entry.action != SEAL] for name in ("one", "two")}
    assert of == {"one": list(range(150)), "two": list(range(150))}
    assert sum(entry.actor == "alice" for entry in found) == 200


def test_a_killed_writer_loses_nothing_that_it_had_written(keys_in):
    said = 0
    for life in range(4):
        process = start(keys_in, f"life{life}", 100_000)
        process.stdout.readline()
        time.sleep(random.Random(life).uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
        said += 1 + len(process.stdout.read().splitlines())  # communicate() would lose what readline() has buffered
        process.wait()
    last = Trail(keys_in, "tests", "last", lambda: KEYS)
    last.append(use())
    last.seal()
    verified = verify(lines(keys_in / FILE), PUBLIC)
    lives = [entry for entry, _ in lines(keys_in / FILE) if entry.actor.startswith("life") and entry.action == "sign"]
    assert said <= len(lives) <= said + 4
    assert verified.unsealed == 0


def test_an_entry_that_was_never_finished_is_cut_off_and_told_of(tmp_path):
    filled(tmp_path)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"action":"sign","act')
    trail = Trail(tmp_path, "tests", "writer", lambda: KEYS)
    trail.append(use())
    trail.seal()
    found = [entry for entry, _ in lines(tmp_path / FILE)]
    assert [entry.action for entry in found[15:]] == [REPAIR, "sign", SEAL]
    assert "21 bytes" in found[15].detail
    verify(lines(tmp_path / FILE), PUBLIC)


def test_a_failing_token_stops_no_entry_and_is_told_of(tmp_path, caplog):
    works = False

    def keys():
        if not works:
            raise AuditUnwritable("the token is gone")
        return KEYS

    trail = Trail(tmp_path, "tests", "writer", keys)
    sealer = Sealer(trail)
    with sealer:
        trail.append(use())
        deadline = time.monotonic() + 10
        while "the token is gone" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(AuditUnwritable, match="the token is gone"):
            sealer.check()
        works = True
    assert verify(lines(tmp_path / FILE), PUBLIC).unsealed == 0


def test_what_a_signer_used_is_one_entry_a_key(tmp_path, caplog):
    uses = Uses(Trail(tmp_path, "tests", "agent:signer", lambda: KEYS), "agent:signer")
    uses([(PUBLIC[0], 1234), (PUBLIC[1], 5)])
    found = [entry for entry, _ in lines(tmp_path / FILE)]
    assert [(entry.kid, entry.action) for entry in found[:2]] == [(PUBLIC[0].kid, "sign"), (PUBLIC[1].kid, "sign")]
    assert "1,234 signatures" in found[0].detail
    assert found[2].action == SEAL
    (tmp_path / FILE).write_bytes(b"something else\n")
    uses([(PUBLIC[0], 1)])
    assert "the uses of keys are not in the audit" in caplog.text


def test_entries_are_sent_on_once_and_again_after_a_failure(tmp_path):
    trail, sent = filled(tmp_path), []
    assert forward(tmp_path, sent.extend) == 15

    def refuse(entries):
        raise ConnectionError

    trail.append(use(), use())
    with pytest.raises(ConnectionError):
        forward(tmp_path, refuse)
    assert forward(tmp_path, sent.extend) == 2
    assert forward(tmp_path, sent.extend) == 0
    assert [entry.sequence for entry in sent] == list(range(1, 18))
    trail.seal()
    forward(tmp_path, sent.extend)
    over_kafka = [decode(KmsAudit, encode(entry)) for entry in sent]
    random.Random(1).shuffle(over_kafka)
    [(name, found)] = records([*over_kafka, over_kafka[0], KmsAudit(**{**use().model_dump(), "detail": "in no chain"})]).items()
    assert verify(found, PUBLIC).mark.chain == name


def test_an_entry_that_two_records_of_a_topic_tell_differently_is_found(written):
    found, _ = written
    told = [KmsAudit.model_validate_json(content) for content in found]
    with pytest.raises((EntryDoubled, EntryEdited)):
        [entries] = records([*told, told[3].model_copy(update={"actor": "eve"})]).values()
        verify(entries, PUBLIC)


@pytest.mark.parametrize(
    ("entry", "activity", "status"),
    [
        (use(action="create"), (1, "Create", 600301), (1, "Success", 1)),
        (use(action="destroy", outcome="FAILURE"), (4, "Delete", 600304), (2, "Failure", 2)),
        (use(outcome="DENIED", source="192.0.2.7", status=403, request_id="r"), (99, "sign", 600399), (2, "Failure", 3)),
    ],
)
def test_ocsf_has_what_its_class_requires(entry, activity, status):
    event = ocsf(entry)
    required = {
        "activity_id",
        "actor",
        "api",
        "category_uid",
        "class_uid",
        "metadata",
        "severity_id",
        "src_endpoint",
        "time",
        "type_uid",
    }
    assert required <= event.keys()
    assert (event["activity_id"], event["activity_name"], event["type_uid"]) == activity
    assert (event["status_id"], event["status"], event["severity_id"]) == status
    assert event["metadata"]["product"]["vendor_name"] and event["metadata"]["version"] == "1.4.0"
    assert (event["class_uid"], event["category_uid"], event["api"]["operation"]) == (6003, 6, entry.action)
    assert json.loads(FORMATS["ocsf"](entry)) == event


# RFC 5424 section 6, written down apart from the code that makes messages
_SYSLOG = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) "
    r'(?P<pid>[!-~]{1,128}) (?P<id>[!-~]{1,32}) \[[!-~]+@\d+(?P<data>( [!-~]+="([^"\\\]]|\\["\\\]])*")+)\](?P<text> .*)?'
)


def test_syslog_is_that_of_rfc_5424_whatever_stands_in_an_entry():
    message = syslog(use(detail='a"b]\\c\nd é', outcome="DENIED", source='x"] y\\', algorithm="ML-DSA-65"), "a host")
    found = _SYSLOG.fullmatch(message)
    assert found and (int(found["pri"]), found["host"], found["id"]) == (13 * 8 + 4, "a_host", "sign")
    assert 'source="x\\"\\] y\\\\"' in found["data"]
    assert found["text"] == ' \ufeffa"b]\\c d é'
