"""A chain of two agents for measurements: threat.observed -> threat.scored -> kms.audit.

`python -m benchmarks.chain first|second` runs one. The entity is the key of all three topics, so that its order can be checked.
"""

import sys
from collections.abc import Mapping

from schemas.manifests import KmsAudit
from schemas.threats import ThreatObserved, ThreatScored
from streams.agent import Agent
from streams.settings import Settings
from streams.worker import run


def observed(number: int, entities: int = 64) -> ThreatObserved:
    """The `number`th input; numbers of one entity must come out in order."""
    return ThreatObserved(
        event_id=f"e-{number}",
        entity=f"host-{number % entities}",
        class_uid=4001,
        source="zeek",
        ocsf=f'{{"number": {number}}}',
        raw=b"x" * 100,
    )


def score(event: ThreatObserved) -> ThreatScored:
    """The first agent."""
    return ThreatScored(
        event_id=event.entity,
        entity=event.event_id,
        risk_score=12.5,
        risk_level="LOW",
        confidence=0.9,
        model="constant",
        model_version="1",
        finding=event.ocsf,
        scored_at=event.observed_at,
    )


def audit(event: ThreatScored) -> KmsAudit:
    """The second agent."""
    return KmsAudit(kid=event.event_id, actor=event.entity, action="score", outcome="SUCCESS", algorithm="none", at=event.scored_at)


CHAIN: Mapping[str, Agent] = {
    "first": Agent("chain-first", reads=[ThreatObserved], writes=[ThreatScored], handle=score),
    "second": Agent("chain-second", reads=[ThreatScored], writes=[KmsAudit], handle=audit),
}


if __name__ == "__main__":
    sys.exit(run(CHAIN[sys.argv[1]], Settings.load()))
