"""Job ids that say when they were made, so that whoever looks for a job knows where in the topics to begin."""

import os
import time
import uuid
from datetime import UTC, datetime, timedelta

_CLOCKS_DIFFER = timedelta(minutes=10)


def new_job_id() -> str:
    """A UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds since 1970, then random bits."""
    value = int.from_bytes((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76  # version
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 2 << 62))  # variant


def not_before(job_id: str) -> datetime | None:
    """A time before which no record of the job can stand; None where the id does not say."""
    try:
        parsed = uuid.UUID(job_id)
    except ValueError:
        return None
    if parsed.version != 7 or parsed.variant != uuid.RFC_4122:
        return None
    return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC) - _CLOCKS_DIFFER
