"""What a policy demands of one checkpoint, by the epoch that it says it stands under."""

from collections.abc import Sequence
from datetime import datetime

from kms.epochs import Policy
from kms.errors import ExpiredPolicy, MissingSuite, NotAllowed, OutOfForce, PolicyRollback
from kms.keys import SLACK


def demanded(policy: Policy, number: int, suites: Sequence[str], signed_at: datetime, where: str) -> list[str]:
    """The suites that must have signed it: all that it names itself, but those that are broken; none is left where all are.

    Args:
        policy: what the verifier demands.
        number: the epoch that the checkpoint says; 0 where it says none.
        suites: those that it says must all sign it.
        signed_at: when it says that it was signed.
        where: which checkpoint it is, for messages.

    Raises:
        UnknownEpoch: the policy has no such epoch.
        MissingSuite: it does not name a suite that its epoch requires.
        NotAllowed: it names one that its epoch does not allow.
        OutOfForce: it was signed before its epoch began.
        PolicyRollback: it was signed long after the next epoch began.
        ExpiredPolicy: it was signed after its epoch expired.
    """
    epoch, before = policy.epoch(number), policy.before(number)
    if undemanded := [suite for suite in epoch.required if suite not in suites]:
        raise MissingSuite(f"the {where} does not demand {', '.join(undemanded)}, which the trust root requires")
    crossing = before.required if before else ()  # the first checkpoint of an epoch is signed under the one before, too
    if strange := [suite for suite in suites if suite not in epoch.allowed and suite not in crossing]:
        raise NotAllowed(f"the {where} demands {', '.join(strange)}, which policy epoch {epoch.number} does not allow")
    if epoch.begins - signed_at > SLACK:
        raise OutOfForce(f"the {where} was signed at {signed_at}, before its policy epoch {epoch.number} began at {epoch.begins}")
    if later := policy.successor(number, signed_at):
        raise PolicyRollback(
            f"the {where} was signed at {signed_at} under policy epoch {epoch.number}, though epoch {later.number} "
            f"({', '.join(later.required)}) is in force since {later.begins}: an old policy is no policy"
        )
    if epoch.expires is not None and signed_at > epoch.expires:
        raise ExpiredPolicy(
            f"the {where} was signed at {signed_at} under policy epoch {epoch.number}, which expired at {epoch.expires}: renew it "
            "(`quantumai crypto policy apply`), and verify what is signed then"
        )
    return [suite for suite in suites if suite not in policy.broken]
