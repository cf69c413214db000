"""Whose turn it is: start-time fair queueing between tenants (Goyal, Vin and Cheng 1996), with a bounded head start by priority.

A job's start tag is the larger of the virtual time and its tenant's last finish tag; the finish tag adds its work divided by the
tenant's weight. The virtual time is the largest start tag of a job that has started. Whoever runs jobs takes the lowest turn
first. While two tenants wait, the work that they got, each divided by its weight, differs by no more than one job of each and
the head start; so nobody waits for ever, whatever the others ask for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

HEAD_START_SECONDS = 60.0
"""Of virtual time, for each step of priority: a job overtakes at most that much work of a tenant with weight 1."""

TOP_PRIORITY = 9
_LEAST_SECONDS = 1e-3  # even a job without work takes a place
_MOST_SECONDS = 1e9  # one absurd estimate must not end a tenant's share for ever


@dataclass
class FairQueue:
    """Start tags of all tenants, over all backends together: who floods one backend has later turns on every other."""

    _now: float = 0.0
    _finish: dict[str, float] = field(default_factory=dict)

    def turn(self, tenant: str, seconds: float, weight: float, priority: int) -> float:
        """The place of a tenant's next job, in virtual seconds; the lower runs first."""
        start = max(self._now, self._finish.get(tenant, 0.0))
        self._finish[tenant] = start + min(max(seconds, _LEAST_SECONDS), _MOST_SECONDS) / weight
        return start + _delay(priority)

    def started(self, turn: float, priority: int) -> None:
        """A job has started: nobody who comes later comes before it. Tenants that are not behind need no memory."""
        self._now = max(self._now, turn - _delay(priority))
        if len(self._finish) > 1024:
            self._finish = {tenant: finish for tenant, finish in self._finish.items() if finish > self._now}

    @property
    def finish(self) -> Mapping[str, float]:
        """Tenant -> where its next job would start, if others did not wait."""
        return self._finish


def _delay(priority: int) -> float:
    return (TOP_PRIORITY - priority) * HEAD_START_SECONDS
