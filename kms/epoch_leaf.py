"""The leaf by which a log goes over to another epoch: the policy itself, as a statement in the log that it governs."""

import json
import uuid
from typing import Any

import rfc8785

from kms.epochs import Epoch, read_epoch
from kms.errors import MalformedPolicy, WrongEpoch
from kms.manifest import PAYLOAD_TYPE, STATEMENT_TYPE
from schemas.manifests import ManifestRequested, ManifestSigned

EPOCH_TYPE = "urn:quantumai:manifest:epoch:v1"
EPOCH_TOPIC = "policy.epoch"
"""What such a leaf names as the topic of its event; there is no such topic, the policy stands in the leaf."""


def epoch_manifest(log_id: str, epoch: Epoch) -> ManifestRequested:
    """The statement that a log stands under an epoch from this leaf on; the same for the same log and epoch."""
    about, event_id = f"policy/{epoch.number}", str(uuid.uuid5(uuid.NAMESPACE_URL, f"{log_id}/policy/{epoch.number}"))
    annotations = {"about": about, "topic": EPOCH_TOPIC}
    statement: dict[str, Any] = {
        "_type": STATEMENT_TYPE,
        "predicateType": EPOCH_TYPE,
        "predicate": epoch.document,
        "subject": [{"name": event_id, "digest": {"sha256": epoch.digest.hex()}, "annotations": annotations}],
    }
    return ManifestRequested(
        subject=about,
        payload_type=PAYLOAD_TYPE,
        payload=rfc8785.dumps(statement),
        event_topic=EPOCH_TOPIC,
        event_id=event_id,
        event_digest=epoch.digest,
    )


def epoch_of(manifest: ManifestSigned) -> Epoch:
    """The epoch that a leaf of the topic `EPOCH_TOPIC` announces; that the leaf binds what it names is checked before.

    Raises:
        WrongEpoch: it announces none, or another than it names.
    """
    what = f"leaf {manifest.index} of {manifest.log_id}"
    try:
        statement = json.loads(manifest.payload)
        epoch = read_epoch(statement["predicate"])
        if statement["predicateType"] != EPOCH_TYPE:
            raise WrongEpoch(f"{what} names a policy epoch and is a {statement['predicateType']}")
    except (ValueError, KeyError, TypeError, MalformedPolicy) as error:
        raise WrongEpoch(f"{what} names a policy epoch that cannot be read: {error}") from error
    if epoch.digest != manifest.event_digest:
        raise WrongEpoch(f"{what} names a policy epoch of another digest than it holds")
    return epoch
