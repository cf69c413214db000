"""The inventory of cryptography: live keys, certificates, algorithms, protocols, and what depends on each; as a CycloneDX CBOM.

CycloneDX 1.6 (ECMA-424), cryptographic assets. Nothing is listed that was not looked up: keys in the key ring, certificates in the
CA's file, suites in the TLS policies, and algorithms because one of them, or the code itself, uses them.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from kms.deprecation import HYBRIDS, Deadline, deadline
from kms.epochs import Policy
from kms.inventory_assets import BUILT_IN, algorithm_properties, certificate_properties, key_properties, protocol_properties
from kms.keys import LOG_USE
from kms.ring_rows import Entry
from kms.tls.authority import CA_USE
from kms.tls.authority import spki as spki_of
from kms.tls.leaves import algorithm_of
from kms.tls.policies import POLICIES
from kms.uses import USES


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing of the inventory.

    Attributes:
        ref: its name in the inventory.
        kind: algorithm, certificate, protocol, related-crypto-material, or application for what uses them.
        name: for people.
        says: what it is there for.
        properties: CycloneDX `cryptoProperties`; none of an application.
        needs: refs of what it depends on.
        deadline: what becomes of the algorithm under it.
        state: of a key.
        imported: why a key that was made elsewhere was let in.
    """

    ref: str
    kind: str
    name: str
    says: str
    properties: Mapping[str, Any]
    needs: tuple[str, ...]
    deadline: Deadline
    state: str = ""
    imported: str = ""


def inventory(entries: Sequence[Entry], roots: Sequence[x509.Certificate], policy: Policy) -> list[Asset]:
    """All assets, applications first.

    Args:
        entries: the key ring's keys.
        roots: certificates of the TLS authority.
        policy: of the logs.
    """
    keys = [_key(entry) for entry in entries]
    certificates = [_certificate(root, entries) for root in roots]
    protocols = [_protocol(name) for name in POLICIES]
    needed = {ref for asset in (*keys, *certificates, *protocols) for ref in asset.needs} | set(map(_algorithm_ref, BUILT_IN))
    needed |= {_algorithm_ref(suite) for epoch in policy.epochs for suite in epoch.required}
    algorithms = [_algorithm(ref.removeprefix(_ALGORITHM)) for ref in sorted(needed) if ref.startswith(_ALGORITHM)]
    return [*_applications(entries, policy), *keys, *certificates, *protocols, *algorithms]


def cbom(assets: Sequence[Asset], at: datetime, version: str) -> dict[str, Any]:
    """The inventory as a CycloneDX 1.6 document."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": at.isoformat(timespec="seconds"),
            "component": {"type": "application", "bom-ref": "quantumai", "name": "quantumai", "version": version},
        },
        "components": [_component(asset) for asset in assets],
        "dependencies": [
            {"ref": "quantumai", "dependsOn": [asset.ref for asset in assets if asset.kind == "application"]},
            *({"ref": asset.ref, "dependsOn": sorted(set(asset.needs))} for asset in assets),
        ],
    }


_ALGORITHM = "algorithm/"


def _algorithm_ref(name: str) -> str:
    return _ALGORITHM + name


def _applications(entries: Sequence[Entry], policy: Policy) -> list[Asset]:
    """What uses keys, and what each depends on: its live keys, and what the policy demands of it."""
    demanded = {LOG_USE: policy.newest.required}
    found = []
    for use in sorted({entry.public.use for entry in entries}):
        live = tuple(_key_ref(entry) for entry in entries if entry.public.use == use and entry.public.state != "destroyed")
        active = [entry.public.algorithm for entry in entries if (entry.public.use, entry.public.state) == (use, "active")]
        suites = demanded.get(use, active)
        needs = (*live, *map(_algorithm_ref, suites))
        found.append(
            Asset(f"use/{use}", "application", use, USES.get(use, f"keys of the use {use}"), {}, needs, _together(use, suites))
        )
    tls = tuple(f"protocol/tls-{name}" for name in POLICIES)
    return [*found, Asset("use/tls", "application", "tls", "quantumai tls server and client", {}, tls, Deadline(True))]


def _key(entry: Entry) -> Asset:
    key = entry.public
    logs = ", ".join(f"{part.log_id} {part.first} to {'now' if part.last is None else part.last}" for part in key.ranges)
    place = "sealed by the token" if entry.inside.sealed else f"in token {entry.token}"
    origin = f"; imported, made elsewhere: {entry.imported}" if entry.imported else ""
    says = f"{USES.get(key.use, key.use)}; private half {place}{f'; signed {logs}' if logs else ''}{origin}"
    needs = (_algorithm_ref(key.algorithm), *([_algorithm_ref("AES-256-GCM")] if entry.inside.sealed else []))
    properties = key_properties(entry, _algorithm_ref(key.algorithm))
    return Asset(
        _key_ref(entry),
        "related-crypto-material",
        key.label,
        says,
        properties,
        needs,
        deadline(key.algorithm),
        state=key.state,
        imported=entry.imported,
    )


def _certificate(root: x509.Certificate, entries: Sequence[Entry]) -> Asset:
    by_spki = {entry.public.spki: entry for entry in entries}
    key, name = by_spki.get(spki_of(root)), algorithm_of(root)
    needs = (_algorithm_ref(name), *([_key_ref(key)] if key else []))
    properties = certificate_properties(root, _algorithm_ref(name), _key_ref(key) if key else None)
    subject = root.subject.rfc4514_string()
    ref = f"certificate/{root.serial_number:x}"
    return Asset(ref, "certificate", subject, "root that TLS clients trust", properties, needs, deadline(name))


def _protocol(name: str) -> Asset:
    properties, algorithms = protocol_properties(POLICIES[name], _algorithm_ref)
    found = [deadline(each.removeprefix(_ALGORITHM)) for each in algorithms]
    # The strength of a policy's key exchange is that of the weakest that it accepts.
    return Asset(
        f"protocol/tls-{name}", "protocol", f"TLS, policy {name}", "what servers accept", properties, algorithms, _worst(found)
    )


def _algorithm(name: str) -> Asset:
    hybrid = (_algorithm_ref(HYBRIDS[name]), _algorithm_ref("X25519")) if name in HYBRIDS else ()
    properties = algorithm_properties(name, deadline(name))
    return Asset(_algorithm_ref(name), "algorithm", name, BUILT_IN.get(name, ""), properties, hybrid, deadline(name))


def _key_ref(entry: Entry) -> str:
    return f"key/{entry.public.kid}"


def _together(use: str, suites: Sequence[str]) -> Deadline:
    """What becomes of a use whose suites must all sign: it stands by the strongest; a TLS client trusts either root."""
    found = [deadline(suite) for suite in suites]
    return _worst(found) if use == CA_USE else next((each for each in found if not each.vulnerable), _worst(found))


def _worst(found: Sequence[Deadline]) -> Deadline:
    return next((each for each in found if each.vulnerable), Deadline(False))


def _component(asset: Asset) -> dict[str, Any]:
    marks = {
        "quantumai:quantum-vulnerable": "yes" if asset.deadline.vulnerable else "no",
        "nist-ir-8547:deprecated-after": asset.deadline.deprecated,
        "nist-ir-8547:disallowed-after": asset.deadline.disallowed,
        "quantumai:imported": asset.imported or None,
    }
    about: dict[str, Any] = {
        "type": "application" if asset.kind == "application" else "cryptographic-asset",
        "bom-ref": asset.ref,
        "name": asset.name,
        "properties": [{"name": name, "value": str(value)} for name, value in marks.items() if value is not None],
    }
    if asset.says:
        about["description"] = asset.says
    if asset.properties:
        about["cryptoProperties"] = {"assetType": asset.kind, **asset.properties}
    return about
