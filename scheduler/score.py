"""score = (expected_fidelity / cost_usd) x availability_penalty x crypto_compatibility; every term, its unit and its source.

| term | unit | source |
|---|---|---|
| expected_fidelity | 1, in [0, 1] | `em.recommended`: after mitigation, by the policy's model |
| cost_usd | USD, >= `COST_FLOOR_USD` | price for all shots of the mitigated run + (wait + execution) x `Rates.usd_per_second` |
| availability_penalty | 1, in [0, 1] | `calibration.updated`: the fraction of recent time in which the backend took jobs |
| crypto_compatibility | 0 or 1 | `scheduler.crypto`: 1 where a route and the endpoint satisfy the job's mode |

Blocked backends score 0. With ties the higher fidelity wins, then the lower cost, then the name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from scheduler.crypto import Access
from schemas.calibration import CalibrationUpdated, Price
from schemas.mitigation import Recommendation

COST_FLOOR_USD = 1e-3
"""No run costs less: without a floor, a free simulator's fidelity would not count at all."""

_CEILING_USD = 1e15  # keeps absurd price lists finite


@dataclass(frozen=True, slots=True)
class Rates:
    """What is not on a backend's price list.

    Attributes:
        usd_per_second: value of the user's time, waiting and running: 3.60 USD an hour, a small cloud machine kept waiting.
    """

    usd_per_second: float = 1e-3


RATES = Rates()


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one backend's score, as `BackendScore` documents them."""

    expected_fidelity: float
    price_usd: float
    cost_usd: float
    availability_penalty: float
    crypto_compatibility: float
    wait_seconds: float
    execution_seconds: float


Scoring: TypeAlias = Callable[[Terms], float]


def terms(recommendation: Recommendation, calibration: CalibrationUpdated, access: Access, rates: Rates) -> Terms:
    """The terms of a candidate under the latest calibration of its backend."""
    money = price_usd(calibration.price, recommendation.total_shots, recommendation.execution_seconds)
    seconds = calibration.queue_seconds + recommendation.execution_seconds
    return Terms(
        expected_fidelity=recommendation.expected_fidelity,
        price_usd=money,
        cost_usd=min(max(money + seconds * rates.usd_per_second, COST_FLOOR_USD), _CEILING_USD),
        availability_penalty=calibration.availability,
        crypto_compatibility=0.0 if access.route is None else 1.0,
        wait_seconds=calibration.queue_seconds,
        execution_seconds=recommendation.execution_seconds,
    )


def price_usd(price: Price, shots: int, seconds: float) -> float:
    """What the backend charges: per_job + per_shot x shots + per_second x execution seconds, USD."""
    return min(price.per_job_usd + price.per_shot_usd * shots + price.per_second_usd * seconds, _CEILING_USD)


def score_v1(terms: Terms) -> float:
    """Fidelity after mitigation per USD, discounted by availability, zero without an admissible route. Unit: 1 / USD."""
    return terms.expected_fidelity / terms.cost_usd * terms.availability_penalty * terms.crypto_compatibility


SCORINGS: Mapping[str, Scoring] = MappingProxyType({"score-v1": score_v1})
"""Scoring policies by name and version; the name stands in every decision."""
