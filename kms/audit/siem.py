"""Entries in the forms that a SIEM takes: OCSF API Activity (class 6003 of schema.ocsf.io 1.4.0), syslog (RFC 5424), JSON lines."""

import json
import re
import socket
from collections.abc import Callable, Mapping
from datetime import UTC
from types import MappingProxyType
from typing import Any

from kms.audit.entry import NO_KEY, digest, line
from schemas.manifests import KmsAudit, Outcome

_CLASS, _CATEGORY, _OCSF = 6003, 6, "1.4.0"
_OTHER = (99, "Other")
_ACTIVITIES: Mapping[str, tuple[int, str]] = {
    "create": (1, "Create"),
    "import": (1, "Create"),
    "issue": (1, "Create"),
    "token": (1, "Create"),
    "list_keys": (2, "Read"),
    "key": (2, "Read"),
    "public": (2, "Read"),
    "read_audit": (2, "Read"),
    "read_manifest": (2, "Read"),
    "request_manifest": (1, "Create"),
    "rotate": (3, "Update"),
    "schedule": (3, "Update"),
    "disable": (3, "Update"),
    "deprecate": (3, "Update"),
    "revoke": (3, "Update"),
    "policy": (3, "Update"),
    "unlock": (3, "Update"),
    "policy.apply": (3, "Update"),
    "migrate.start": (3, "Update"),
    "migrate.advance": (3, "Update"),
    "migrate.rollback": (3, "Update"),
    "drill.respond": (3, "Update"),
    "destroy": (4, "Delete"),
}

# (OCSF severity, its name, RFC 5424 severity)
_SEVERITIES: Mapping[Outcome, tuple[int, str, int]] = {
    "SUCCESS": (1, "Informational", 6),
    "FAILURE": (2, "Low", 4),
    "DENIED": (3, "Medium", 4),
}

_LOG_AUDIT = 13  # the facility of RFC 5424 section 6.2.1
_ENTERPRISE = "32473"  # reserved for documentation and examples (RFC 5612): this project has no number of its own
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


def ocsf(entry: KmsAudit) -> dict[str, Any]:
    """API Activity: who (`actor`), from where (`src_endpoint`), what (`api.operation`), on which key (`resources`)."""
    activity, activity_name = _ACTIVITIES.get(entry.action, _OTHER)
    severity, severity_name, _ = _SEVERITIES[entry.outcome]
    api: dict[str, Any] = {"operation": entry.action, "service": {"name": "kms"}}
    if entry.request_id:
        api["request"] = {"uid": entry.request_id}
    if entry.status:
        api["response"] = {"code": entry.status}
    event: dict[str, Any] = {
        "activity_id": activity,
        "activity_name": activity_name if activity != _OTHER[0] else entry.action,
        "actor": {"user": {"name": entry.actor}},
        "api": api,
        "category_name": "Application Activity",
        "category_uid": _CATEGORY,
        "class_name": "API Activity",
        "class_uid": _CLASS,
        "metadata": {
            "log_name": entry.chain,
            "product": {"name": "kms", "vendor_name": "QuantumAI"},
            "sequence": entry.sequence,
            "uid": digest(line(entry)),
            "version": _OCSF,
        },
        "severity": severity_name,
        "severity_id": severity,
        "src_endpoint": {"ip": entry.source} if entry.source else {"name": "local"},
        "status": "Success" if entry.outcome == "SUCCESS" else "Failure",
        "status_code": entry.outcome,
        "status_detail": entry.detail,
        "status_id": 1 if entry.outcome == "SUCCESS" else 2,
        "time": int(entry.at.timestamp() * 1000),
        "type_name": f"API Activity: {activity_name}",
        "type_uid": _CLASS * 100 + activity,
        "unmapped": {"algorithm": entry.algorithm, "previous": entry.previous},
    }
    if entry.kid != NO_KEY:
        event["resources"] = [{"type": "key", "uid": entry.kid}]
    return event


def syslog(entry: KmsAudit, host: str = "") -> str:
    """One message of RFC 5424: facility 13 (log audit), the entry's fields as structured data, its detail as text."""
    severity = _SEVERITIES[entry.outcome][2]
    stamp = f"{entry.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    header = f"<{_LOG_AUDIT * 8 + severity}>1 {stamp} {_name(host or socket.gethostname(), 255)} quantumai-kms -"
    fields = {
        "kid": entry.kid,
        "actor": entry.actor,
        "outcome": entry.outcome,
        "algorithm": entry.algorithm,
        "source": entry.source,
        "requestId": entry.request_id,
        "status": str(entry.status or ""),
        "chain": entry.chain,
        "sequence": str(entry.sequence),
        "digest": digest(line(entry)),
    }
    data = " ".join(f'{name}="{_escaped(value)}"' for name, value in fields.items() if value)
    text = f" \ufeff{' '.join(entry.detail.split())}" if entry.detail else ""
    return f"{header} {_name(entry.action, 32)} [audit@{_ENTERPRISE} {data}]{text}"


FORMATS: Mapping[str, Callable[[KmsAudit], str]] = MappingProxyType(
    {
        "ocsf": lambda entry: json.dumps(ocsf(entry)),
        "syslog": syslog,
        "jsonl": lambda entry: line(entry).decode(),
    }
)
"""One line an entry."""


def _escaped(value: str) -> str:
    """RFC 5424 section 6.3.3."""
    return re.sub(r'(["\\\]])', r"\\\1", value)


def _name(text: str, most: int) -> str:
    return _UNPRINTABLE.sub("_", text)[:most] or "-"
