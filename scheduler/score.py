"""score = (expected_fidelity / cost_usd) x availability_penalty x crypto_compatibility; every term, its unit and its source.

| term | unit | source |
|---|---|---|
| expected_fidelity | 1, in [0, 1] | `em.recommended`: after mitigation, by the policy's model |
| cost_usd | USD, >= `COST_FLOOR_USD` | price for all shots of the mitigated run + (wait + execution) x `Rates.usd_per_second` |
| availability_penalty | 1, in [0, 1] | `calibration.updated`: recent time that it took jobs x freshness of the calibration |
| crypto_compatibility | 0 or 1 | `scheduler.crypto`: 1 where a route and the endpoint satisfy the job's mode |

Blocked backends score 0. With ties the higher fidelity wins, then the lower cost, then the name.
"""

from dataclasses import dataclass

import numpy as np

from scheduler.market import Floats
from scheduler.offers import Offers

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


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """The terms of each offer's score, (rows,) each, named as in `BackendScore`, which documents them."""

    expected_fidelity: Floats
    expected_error: Floats
    price_usd: Floats
    cost_usd: Floats
    availability_penalty: Floats
    crypto_compatibility: Floats
    wait_seconds: Floats
    execution_seconds: Floats
    availability: Floats
    freshness: Floats
    calibration_age_seconds: Floats
    gate_error: Floats


def terms(offers: Offers, rates: Rates = RATES) -> Terms:
    """The terms of all offers, under the latest calibrations of their backends."""
    table, backend = offers.table, offers.backend
    age = np.maximum(offers.at.timestamp() - table.known_at, 0.0)
    freshness = np.maximum(1.0 - age * table.decay, 0.0)
    with np.errstate(over="ignore"):
        price = table.per_job[backend] + table.per_shot[backend] * offers.shots + table.per_second[backend] * offers.seconds
        price = np.minimum(price, _CEILING_USD)
        cost = price + (offers.wait_seconds + offers.seconds) * rates.usd_per_second
    return Terms(
        expected_fidelity=offers.fidelity,
        expected_error=offers.error,
        price_usd=price,
        cost_usd=np.clip(cost, COST_FLOOR_USD, _CEILING_USD),
        availability_penalty=(table.availability * freshness)[backend],
        crypto_compatibility=_compatible(offers),
        wait_seconds=offers.wait_seconds,
        execution_seconds=offers.seconds,
        availability=table.availability[backend],
        freshness=freshness[backend],
        calibration_age_seconds=age[backend],
        gate_error=table.gate_error[backend],
    )


def _compatible(offers: Offers) -> Floats:
    modes = {mode: place for place, mode in enumerate(dict.fromkeys(job.crypto_mode for job in offers.jobs))}
    if not modes:
        return np.zeros(0)
    known = np.array([offers.table.compatible(mode) for mode in modes])
    asked = np.array([modes[job.crypto_mode] for job in offers.jobs])
    return np.asarray(known[asked[offers.job], offers.backend])
