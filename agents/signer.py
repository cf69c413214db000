"""Signs manifests in batches: manifest.requested in, manifest.signed and log.checkpoint out; one log per partition."""

from kms.signing import LogSigner
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from streams.agent import Agent
from streams.settings import Settings
from streams.views import LastHeld


def build(settings: Settings) -> Agent:
    """The signer agent. The partition's transactional producer is the log's only writer, so no log can fork."""
    checkpoints = LastHeld(LogCheckpoint)
    signer = LogSigner(settings, checkpoints.last)
    return Agent(
        "signer",
        reads=[ManifestRequested],
        writes=[ManifestSigned, LogCheckpoint],
        same_partition=[ManifestSigned, LogCheckpoint],
        views=[checkpoints],
        handle=signer.sign,
        batch=True,
        offload=True,
        tick=signer.heartbeat,
        every=5.0,
        tick_subject=lambda checkpoint: (checkpoint.log_id, checkpoint.signed_at.isoformat()),
    )
