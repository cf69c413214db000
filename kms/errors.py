"""What can go wrong with keys, manifests and logs. Every message says what was wrong and what to do."""

# ruff: noqa: N818 - a class is named for what broke

from schemas.errors import InputError, OutageError


class KmsError(Exception):
    """The root of this room's errors."""


class TokenError(KmsError, OutageError):
    """The token cannot do what it was asked."""


class ModuleMissing(TokenError):
    """There is no PKCS#11 module at the given path, or it cannot be loaded."""


class TokenMissing(TokenError):
    """The module has no initialised token of the given label."""


class PinMissing(TokenError):
    """No PIN was given."""


class WrongPin(TokenError):
    """The token refuses the PIN."""


class TokenLocked(TokenError):
    """Too many wrong PINs: the token refuses the right one too."""


class KeyMissing(TokenError):
    """The key ring names a key that the token does not hold."""


class TokenBusy(TokenError):
    """Another process writes to the token at this moment."""


class MechanismMissing(TokenError):
    """The token does not know the mechanism."""


class SealBroken(TokenError):
    """A sealed key does not open: it was changed, or belongs to another key or token."""


class KeyRingError(KmsError, OutageError):
    """The key ring does not answer, cannot be read, or cannot make the key that is asked for."""


class UnknownAlgorithm(KmsError, InputError):
    """A name that is not in the table of `kms.algorithms`."""


class WrongPublicKey(KmsError, InputError):
    """Bytes that are no public key of the algorithm."""


class NoSuchForm(KmsError, InputError):
    """A form of public key that is not known, or not defined for the algorithm."""


class WrongUse(KmsError, InputError):
    """What is no name of a use of keys."""


class WrongCiphertext(KmsError, InputError):
    """Bytes that are no ciphertext of the algorithm."""


class NotInForce(KmsError, InputError):
    """The key's state does not allow what is asked of it."""


class WrongTransition(KmsError, InputError):
    """A key does not go from the state it is in to the one that is asked for."""


class UnknownKey(KmsError, InputError):
    """The key ring has no such key."""


class UnboundManifest(KmsError, InputError):
    """The payload does not name the event that the manifest claims to be about."""


class TrustError(KmsError, InputError):
    """The trust root is malformed, or contradicts itself."""


class MalformedPolicy(KmsError, InputError):
    """A policy with unknown fields, gaps, contradictions, or an epoch that was changed."""


class WeakerPolicy(KmsError, InputError):
    """A policy that demands less than the one before it."""


class NotReady(KmsError, InputError):
    """A step of a migration whose conditions are not met, or that makes no sense where the system stands."""


class PolicyExpired(KmsError, OutageError):
    """The policy in force has expired: nothing is signed under it until another epoch takes over."""


class LogError(KmsError):
    """The log cannot be continued: its last checkpoint does not fit its frontier or its origin."""


class VerificationError(KmsError, InputError):
    """A link of the chain from event to signed tree head is broken. Each subclass is one kind of link."""


class MalformedProof(VerificationError):
    """A proof or a hash of the wrong length."""


class WrongInclusion(VerificationError):
    """The inclusion proof does not lead from the manifest to the root."""


class WrongConsistency(VerificationError):
    """A checkpoint is no continuation of the one before it."""


class WrongRoot(VerificationError):
    """The leaves do not hash to the root that the checkpoint says."""


class IndexGap(VerificationError):
    """Leaves are missing in the middle of a log."""


class DuplicateIndex(VerificationError):
    """An index of a log stands twice, or out of order."""


class Truncated(VerificationError):
    """The log ends before its last checkpoint says."""


class MissingCheckpoint(VerificationError):
    """Manifests refer to a checkpoint that is not there."""


class DuplicateCheckpoint(VerificationError):
    """A checkpoint stands twice."""


class Fork(VerificationError):
    """Two checkpoints of one log and size differ."""


class MalformedNote(VerificationError):
    """A checkpoint's note is no C2SP checkpoint, or says something else than the record around it."""


class MissingSuite(VerificationError):
    """A signature of a suite that is required is not there."""


class UnknownEpoch(VerificationError):
    """A checkpoint stands under a policy epoch that the trust root does not know."""


class PolicyRollback(VerificationError):
    """An older policy than the one that is in force, that the log stands under, or that the verifier remembers."""


class ExpiredPolicy(VerificationError):
    """A checkpoint under a policy epoch that had expired."""


class NotAllowed(VerificationError):
    """A checkpoint demands an algorithm that the policy does not allow."""


class BrokenAlgorithm(VerificationError):
    """A checkpoint stands on algorithms alone that the policy calls broken."""


class WrongEpoch(VerificationError):
    """A log goes over to another epoch without the leaf that says so, or with a leaf that says something else."""


class WrongSignature(VerificationError):
    """A signature does not verify under the key it names."""


class OutOfForce(VerificationError):
    """A signature by a key that was not in force there: before its time, after it, or beyond its part of the log."""


class WrongBinding(VerificationError):
    """The signed payload is about another event than the manifest's fields say."""


class WrongEvent(VerificationError):
    """An event differs from what its manifest was signed about."""


class MissingLeaf(VerificationError):
    """An event has no manifest in any log."""


class MissingEvent(VerificationError):
    """A manifest is about an event that is not there."""


class MalformedDocument(VerificationError):
    """Text that is no JSON or YAML as we read it, or larger than we read."""


class MalformedEnvelope(VerificationError):
    """What is no DSSE envelope, no bundle, or one without what it needs."""


class MalformedManifest(VerificationError):
    """A payload that is no manifest of ours: unknown fields, missing ones, or values that cannot be."""


class Unsigned(VerificationError):
    """A manifest that nobody has signed, or not in the way that was asked for."""


class Disagreement(VerificationError):
    """Two implementations of an algorithm judge a signature differently."""


class NotWitnessed(VerificationError):
    """Fewer witnesses have cosigned a log than are demanded."""


class NotAnchored(VerificationError):
    """A log without the hash-based signature that is demanded, or with one that is too old."""


class MissingAnchor(VerificationError):
    """An anchor of a log was taken away: the log's own signed text says that it is there."""


class UnknownAnchor(VerificationError):
    """An anchor by a key that is not in the trust root."""


class RolledBack(VerificationError):
    """A log is shorter than somebody has seen it."""


class SecondOpinionMissing(KmsError, OutageError):
    """There is no second implementation on this machine."""


class AuditUnwritable(KmsError, OutageError):
    """What was done with a key cannot be recorded."""


class EntryMalformed(VerificationError):
    """A line of an audit that is no entry, or not in canonical form."""


class EntryDropped(VerificationError):
    """Entries of an audit are missing."""


class EntryEdited(VerificationError):
    """An entry of an audit is not what it was when the next one was written."""


class EntryDoubled(VerificationError):
    """An entry of an audit stands twice."""


class EntryReordered(VerificationError):
    """Entries of an audit changed places."""


class ChainTruncated(VerificationError):
    """An audit ends before what was seen of it."""


class SealWrong(VerificationError):
    """The signatures over an audit are missing or do not verify."""


class Unsealed(VerificationError):
    """The end of an audit is signed by nobody."""


class ImportRefused(KmsError, InputError):
    """A private key that was made elsewhere, and may not come in."""


class WrongPrivateKey(KmsError, InputError):
    """What is no private key of the algorithm, or does not belong to its public half."""
