"""All backends side by side: a column for each quantity, made once and kept until a calibration changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import is_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scheduler.crypto import Access, access
from scheduler.facts import Facts
from scheduler.network import Network
from schemas.calibration import CalibrationUpdated
from schemas.jobs import BackendScore, CryptoMode

Floats = NDArray[np.float64]

DAY_SECONDS = 86_400.0

DECAY_PER_DAY = 0.08
"""What a day takes from the trust in a calibration: the median daily change of CX errors (181 days of ibm_perth, 2023)."""

MAX_AGE_SECONDS = 7 * DAY_SECONDS
"""A device that drifts and was not calibrated for longer runs nothing."""

MAX_SILENCE_SECONDS = 3600.0
"""A backend of which nothing was heard for longer is taken for lost: calibrations are said again every five minutes."""


_NO_PRICE = "it lists no price: only time is counted"
_BY_JOB = (
    "expected_fidelity",
    "expected_error",
    "cost_usd",
    "availability_penalty",
    "score",
    "wait_seconds",
    "execution_seconds",
)


@dataclass(frozen=True, eq=False)
class Table:
    """The backends in one order, by name; each array has a number for each.

    Attributes:
        index: backend -> its place.
        facts: as prepared.
        network: of all backends' links.
        per_job, per_shot, per_second: the price list, USD.
        queue_seconds, queue_length: what others wait for, as the backend says.
        availability: in [0, 1].
        known_at: see `Facts`.
        decay: what a second of age takes from the trust in the calibration.
        age_limit: seconds; an older one blocks.
        connected, gate_error: see `Facts`.
    """

    index: Mapping[str, int]
    facts: tuple[Facts, ...]
    network: Network
    per_job: Floats
    per_shot: Floats
    per_second: Floats
    queue_seconds: Floats
    queue_length: Floats
    availability: Floats
    known_at: Floats
    decay: Floats
    age_limit: Floats
    connected: Floats
    gate_error: Floats
    _access: dict[CryptoMode, tuple[Access, ...]] = field(default_factory=dict)
    _drafts: dict[CryptoMode, list[dict[str, Any]]] = field(default_factory=dict)
    _compatible: dict[CryptoMode, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: tuple[Facts, ...]) -> "Table":
        """The table of these backends."""
        rows = np.array([_row(each) for each in facts], dtype=np.float64).reshape(len(facts), 11)
        links = (link for each in facts for link in each.calibration.links)
        index = {each.calibration.backend: place for place, each in enumerate(facts)}
        return cls(index, facts, Network(links), *np.ascontiguousarray(rows.T))

    def access(self, mode: CryptoMode) -> tuple[Access, ...]:
        """How each backend is reached under a mode."""
        if mode not in self._access:
            self._access[mode] = tuple(access(mode, each.calibration, self.network) for each in self.facts)
        return self._access[mode]

    def drafts(self, mode: CryptoMode) -> list[dict[str, Any]]:
        """The fields of each backend's score under a mode: its own whatever the job, and nothing where the job decides."""
        if mode not in self._drafts:
            self._drafts[mode] = [_draft(*each) for each in zip(self.facts, self.access(mode), strict=True)]
        return self._drafts[mode]

    def compatible(self, mode: CryptoMode) -> Floats:
        """(backends,): 1 where a route satisfies the mode, else 0."""
        if mode not in self._compatible:
            self._compatible[mode] = np.array([way.route is not None for way in self.access(mode)], dtype=np.float64)
        return self._compatible[mode]

    @cached_property
    def maintained(self) -> bool:
        """Whether any backend has announced a maintenance."""
        return any(each.calibration.maintenance for each in self.facts)


class Market:
    """The table of a live view of calibrations.

    Args:
        calibrations: backend -> its latest calibration.
    """

    def __init__(self, calibrations: Mapping[str, CalibrationUpdated]) -> None:
        self._calibrations = calibrations
        self._seen: list[CalibrationUpdated] = []
        self._facts: dict[str, Facts] = {}
        self._table = Table.of(())

    def table(self) -> Table:
        """The table as the calibrations are now."""
        now = list(self._calibrations.values())
        if len(now) != len(self._seen) or not all(map(is_, now, self._seen)):
            self._facts = {each.backend: self._fact(each) for each in now}
            self._seen, self._table = now, Table.of(tuple(self._facts[name] for name in sorted(self._facts)))
        return self._table

    def _fact(self, calibration: CalibrationUpdated) -> Facts:
        known = self._facts.get(calibration.backend)
        return known if known is not None and known.calibration is calibration else Facts.of(calibration)


def _draft(facts: Facts, way: Access) -> dict[str, Any]:
    said = facts.calibration
    known = {"backend": said.backend, "calibration_id": said.calibration_id, "availability": said.availability}
    reached = {"crypto_compatibility": float(way.route is not None), "route": way.route.name if way.route else "", "path": way.path}
    return dict(
        BackendScore(
            **known,
            **reached,
            gate_error=facts.gate_error,
            fallbacks=() if facts.priced else (_NO_PRICE,),
            **dict.fromkeys(_BY_JOB, 0.0),
            method="",
        ).__dict__
    )


def _row(facts: Facts) -> tuple[float, ...]:
    said = facts.calibration
    return (
        said.price.per_job_usd,
        said.price.per_shot_usd,
        said.price.per_second_usd,
        said.queue_seconds,
        said.queue_length,
        said.availability,
        facts.known_at,
        DECAY_PER_DAY / DAY_SECONDS if said.drifts else 0.0,
        MAX_AGE_SECONDS if said.drifts else MAX_SILENCE_SECONDS,
        facts.connected,
        facts.gate_error,
    )
