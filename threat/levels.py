"""From a probability to a risk, and back to words: OCSF's scales."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.threats import RiskLevel

LEVELS: tuple[RiskLevel, ...] = ("INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""By OCSF's risk_level_id, 0 to 4."""

BOUNDS = (10.0, 30.0, 50.0, 90.0)
"""Risk scores from which the next level holds: from 50 on, half the events like this one are threats, and somebody is woken."""

HIGH = LEVELS.index("HIGH")

SEVERITIES = (1, 2, 3, 4, 5)
"""OCSF's severity_id of each level: informational to critical."""


def level_ids(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,): the places in `LEVELS` of risk scores, 0 to 100."""
    return np.searchsorted(BOUNDS, scores, side="right")


def names(ids: Sequence[int]) -> list[RiskLevel]:
    """The levels' names."""
    return [LEVELS[place] for place in ids]
