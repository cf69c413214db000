"""How often one principal may ask: a token bucket each."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    told: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request too many.

    Attributes:
        seconds: until the next may come.
        first: the bucket has just run dry; what follows in the same drought is the same news.
    """

    seconds: float
    first: bool


class RateLimits:
    """A bucket for everybody: `burst` requests at once, `per_second` in the long run.

    One process's: behind several processes everybody has as many times as much. Used in the event loop only, so without a lock.

    Args:
        per_second: tokens that come back.
        burst: tokens that a bucket holds.
        clock: seconds.
        remembered: buckets at most; the one that was not used for longest is forgotten, which fills it.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic, remembered: int = 100_000
    ) -> None:
        self._rate, self._burst, self._clock, self._remembered = per_second, burst, clock, remembered
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, who: str) -> Refusal | None:
        """Takes a token; None where there was one."""
        bucket = self._filled(who)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            bucket.told = False
            return None
        return self._refusal(bucket)

    def look(self, who: str) -> Refusal | None:
        """As `take`, but takes nothing."""
        bucket = self._filled(who)
        return None if bucket.tokens >= 1 else self._refusal(bucket)

    def _refusal(self, bucket: _Bucket) -> Refusal:
        first, bucket.told = not bucket.told, True
        return Refusal((1 - bucket.tokens) / self._rate, first)

    def _filled(self, who: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(self._burst, now)
            if len(self._buckets) > self._remembered:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(who)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        return bucket
