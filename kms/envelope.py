"""Signs and verifies manifests outside Kafka, link by link: envelope, manifest, suites, each signature, subject."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from kms.documents import read_json
from kms.dsse import Envelope, sign
from kms.errors import BrokenAlgorithm, MalformedEnvelope, MissingSuite, OutOfForce, Unsigned, WrongSignature
from kms.keys import Key
from kms.manifest import PAYLOAD_TYPE
from kms.statement import Statement, check_subject, read_statement, signed_at
from kms.suites import check_suites
from kms.trust import TrustRoot

MANIFEST_USE = "manifest"
"""The use of keys that sign manifests outside Kafka."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the chain that was found to hold.

    Attributes:
        name: which.
        says: what was found.
    """

    name: str
    says: str


def sign_manifest(manifest: Statement, keys: Callable[[Sequence[str]], Sequence[Key]]) -> Envelope:
    """The manifest in its envelope, with the time inside, signed by a key of each suite that it names.

    Args:
        manifest: what to sign; the time of an earlier signature is replaced.
        keys: gives one key for each algorithm, as `KeyRing.ensure(MANIFEST_USE, algorithms)`.

    Raises:
        UnknownAlgorithm: a suite that is not in the table.
        KeyRingError, TokenError: a key cannot be had, or the token refuses.
    """
    return sign(PAYLOAD_TYPE, signed_at(manifest).payload(), keys(manifest.predicate.crypto.signatures))


def verify_envelope(envelope: Envelope, trust: TrustRoot) -> Iterator[Link]:
    """Checks a manifest's envelope; each link is given as soon as it holds.

    Args:
        envelope: as it was read.
        trust: whose signatures count, and which suites are demanded.

    Raises:
        VerificationError: the next link does not hold. Its class and message say which, and why.
    """
    manifest = manifest_in(envelope)
    yield Link("manifest", f"of job {manifest.predicate.job.job_id}; all its fields are known")
    crypto, policy = manifest.predicate.crypto, trust.policy
    if crypto.signed_at is None:
        raise Unsigned("the manifest does not say when it was signed: sign it by `quantumai manifest sign`")
    suites = [suite for suite in crypto.signatures if suite not in policy.broken]
    epoch = policy.at(crypto.signed_at)
    if not suites:
        broken = " and ".join(crypto.signatures)
        raise BrokenAlgorithm(
            f"the manifest stands on {broken} alone, which the policy calls broken: sign it anew by another suite"
        )
    check_suites(suites, [suite for suite in epoch.required if suite not in policy.broken], "the manifest")
    yield Link("suites", f"{' and '.join(suites)} must sign, says what is signed; policy epoch {epoch.number} agrees")
    for suite in suites:
        yield Link(f"signature {suite}", _signer(envelope, suite, trust, crypto.signed_at))
    check_subject(manifest)
    yield Link("subject", ", ".join(f"{one.name} {one.digest.sha256[:16]}…" for one in manifest.subject))


def manifest_in(envelope: Envelope) -> Statement:
    """The manifest of a run that an envelope holds; its signatures are not looked at.

    Raises:
        MalformedEnvelope: the payload is of another type.
        MalformedDocument, MalformedManifest: the payload is no manifest of a run.
    """
    if envelope.payload_type != PAYLOAD_TYPE:
        raise MalformedEnvelope(f"the payload is of the type {envelope.payload_type!r}; a manifest is {PAYLOAD_TYPE}")
    return read_statement(read_json(envelope.payload))


def _signer(envelope: Envelope, suite: str, trust: TrustRoot, at: datetime) -> str:
    """Who signed by an algorithm. A key id only chooses the key; one that is trusted must have made the signature that names it."""
    data, keys = envelope.signed_bytes(), [key for key in trust.verifying(MANIFEST_USE) if key.algorithm == suite]
    for one in envelope.signatures:
        for key in (key for key in keys if one.keyid in ("", key.kid)):
            try:
                key.verify(one.sig, data)
                key.check_place(MANIFEST_USE, 0, at)
            except (WrongSignature, OutOfForce) as error:
                if one.keyid or isinstance(error, OutOfForce):
                    raise type(error)(f"the manifest's signature by {suite}: {error}") from error
            else:
                return f"{key.label} ({key.kid[:16]}…), {at:%Y-%m-%d %H:%M:%S} UTC"
    named = {one.keyid for one in envelope.signatures}
    revoked = [key.label for key in trust.keys if key.kid in named and not key.verifies]
    why = f"; {', '.join(revoked)} is revoked or never began" if revoked else ""
    raise MissingSuite(f"the manifest demands {suite}, and no trusted key of use {MANIFEST_USE!r} has signed by it{why}")
