"""The uses of keys whose signatures mean something to this system: what each is for."""

from collections.abc import Mapping
from types import MappingProxyType

USES: Mapping[str, str] = MappingProxyType(
    {
        "log": "checkpoints of the manifest logs (topic log.checkpoint), and so every manifest and event under them",
        "tls-ca": "certificates of TLS servers",
        "manifest": "manifests of single runs, outside the logs",
        "audit": "the chain of key accesses (topic kms.audit)",
        "anchor": "anchors of the manifest logs",
        "witness": "cosignatures of checkpoints",
        "api-token": "bearer tokens of the REST services",
    }
)
"""None of their keys signs bytes that a caller chose, and none of them was made elsewhere."""
