"""What `benchmarks.tamper` tampers with: a log as an auditor is given it, bundles of single manifests, and envelopes of runs."""

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from benchmarks.manifest_signing import routed
from kms import keys
from kms.algorithms import LOG_SUITES
from kms.anchor import ANCHOR_ALGORITHM, AnchoredLogs
from kms.bundle import bundle, read_bundle, verify_bundle
from kms.documents import read_json
from kms.dsse import read_envelope
from kms.envelope import MANIFEST_USE, sign_manifest, verify_envelope
from kms.keyring import KeyRing
from kms.manifest import routed_manifest
from kms.modules import installed_module
from kms.note import Note, read_note, sign_note
from kms.provision import init_token
from kms.signing import LogSigner
from kms.statement import predicate, statement
from kms.suites import suites
from kms.token import open_token
from kms.trust import TrustRoot
from kms.vouched import VouchedVerifier
from schemas import cloudevents, codec
from schemas.cloudevents import Event, digest, headers, output_id
from schemas.codec import encode
from schemas.jobs import JobRouted
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.record import Record, now

BATCHES = (3, 1, 5)
ANCHORED = (0, 2)
"""The batches behind which the log is anchored."""


@dataclass(frozen=True)
class Raw:
    """One message of a topic: what stands in Kafka."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Topics:
    """Everything that an auditor is given."""

    events: tuple[Raw, ...]
    manifests: tuple[Raw, ...]
    checkpoints: tuple[Raw, ...]


@dataclass(frozen=True)
class Exhibits:
    """What verifies, and what to take strange parts from.

    Attributes:
        topics: a log.
        bundles: single manifests of it, JSON.
        envelopes: manifests of runs outside Kafka, each signed by itself, JSON.
        other_log: checkpoints of another log of the same keys, whose anchors are real.
        strangers: text of a note -> the line below it that a key has made which is no anchor's.
    """

    topics: Topics
    bundles: tuple[bytes, ...]
    envelopes: tuple[bytes, ...]
    other_log: tuple[Raw, ...]
    strangers: Mapping[str, str]


class Log:
    """Signs one partition; each of its calls is five seconds later than the one before."""

    def __init__(self, ring: KeyRing, partition: int) -> None:
        ticks, begun = count(), now()
        self._partition, self._signing = partition, ring.ensure(keys.LOG_USE, LOG_SUITES)
        self.leaves: list[ManifestSigned] = []
        self.heads: list[LogCheckpoint] = []

        def clock() -> datetime:
            return begun + timedelta(seconds=5 * next(ticks))

        def last(_: int) -> LogCheckpoint | None:
            return self.heads[-1] if self.heads else None

        self._signer = LogSigner(lambda: self._signing, "tamper.example", last, heartbeat_seconds=0, clock=clock)
        self._anchored = AnchoredLogs(self._signer, lambda: ring, last, seconds=1, clock=clock)

    def sign(self, asked: list[ManifestRequested]) -> None:
        """A batch and its checkpoint."""
        self._keep(self._signer.sign(self._partition, asked))

    def anchor(self) -> None:
        """A checkpoint that carries an anchor."""
        self._keep(self._anchored.heartbeat(self._partition))

    def heartbeat(self) -> None:
        """A checkpoint that only says that the log ends here."""
        self._keep(self._signer.heartbeat(self._partition))

    def over(self, leaf: ManifestSigned) -> LogCheckpoint:
        """The checkpoint that the leaf's proof leads to; rather one that carries an anchor."""
        return max((head for head in self.heads if head.tree_size == leaf.tree_size), key=lambda head: len(head.note))

    def _keep(self, records: Sequence[Record]) -> None:
        self.leaves += [record for record in records if isinstance(record, ManifestSigned)]
        self.heads += [record for record in records if isinstance(record, LogCheckpoint)]


def made(folder: Path) -> tuple[Exhibits, TrustRoot]:
    """Nine decisions, their manifests in three batches, a checkpoint of each, two anchors and a heartbeat, signed in a token."""
    module = installed_module(folder)
    token = init_token(module, "tamper", folder)
    ring = KeyRing.open(folder / "keys.db", open_token(module, "tamper", token.pin_file.read_text(), folder))
    log, other = Log(ring, 0), Log(ring, 1)
    events, _ = _decided(log), _decided(other)
    [stranger] = ring.ensure("stranger", (ANCHOR_ALGORITHM,))
    exhibits = Exhibits(
        Topics(events, _plain(log.leaves), _plain(log.heads)),
        tuple(json.dumps(bundle(leaf, log.over(leaf))).encode() for leaf in log.leaves),
        tuple(_envelope(ring, job) for job in ("job-1", "job-2")),
        _plain(other.heads),
        {note.text: sign_note(note.checkpoint, [stranger]).rpartition("\n\n")[2] for note in map(_note, log.heads)},
    )
    return exhibits, ring.public()


def verify_topics(topics: Topics, trust: TrustRoot) -> None:
    """Raises what is wrong with a log."""
    verifier = VouchedVerifier(trust, audited={JobRouted.topic}, every_signature=True)
    for raw in topics.events:
        event_id = next((value.decode("utf-8", "replace") for name, value in raw.headers if name == "ce_id"), "")
        verifier.event(JobRouted.topic, event_id, cloudevents.digest(raw.headers, raw.key, raw.value))
    for raw in topics.checkpoints:
        verifier.checkpoint(codec.decode(LogCheckpoint, raw.value))
    for raw in topics.manifests:
        verifier.manifest(codec.decode(ManifestSigned, raw.value))
    verifier.finish()


def verify_bundle_text(text: bytes, trust: TrustRoot) -> None:
    """Raises what is wrong with a bundle, as `quantumai manifest verify` does."""
    deque(verify_bundle(read_bundle(read_json(text)), trust), maxlen=0)


def verify_envelope_text(text: bytes, trust: TrustRoot) -> None:
    """Raises what is wrong with an envelope, as `quantumai manifest verify` does."""
    deque(verify_envelope(read_envelope(read_json(text)), trust), maxlen=0)


def _decided(log: Log) -> tuple[Raw, ...]:
    events: list[Raw] = []
    for place, batch in enumerate(BATCHES):
        asked: list[ManifestRequested] = []
        for number in range(batch):
            record = routed(len(events), 2).record
            event_id = output_id("em.recommended", 0, len(events), JobRouted, 0)
            raw = Raw(
                record.key, encode(record), tuple(headers(JobRouted, event_id, "/agents/scheduler", f"2026-01-0{number + 1}"))
            )
            events.append(raw)
            asked.append(routed_manifest(None, Event(record, event_id, digest(raw.headers, raw.key, raw.value))))
        log.sign(asked)
        if place in ANCHORED:
            log.anchor()
    log.heartbeat()
    return tuple(events)


def _plain(records: Iterable[Record]) -> tuple[Raw, ...]:
    return tuple(Raw(record.key, encode(record), ()) for record in records)


def _note(head: LogCheckpoint) -> Note:
    return read_note(head.note)


def _envelope(ring: KeyRing, job: str) -> bytes:
    run = statement(predicate(job, suites("ML-KEM:ML-DSA"), backend="ibm_qpu_1"), ())
    return json.dumps(sign_manifest(run, lambda names: ring.ensure(MANIFEST_USE, names)).document()).encode()
