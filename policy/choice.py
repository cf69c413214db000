"""The choice between methods: the cheapest that is good enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from em.methods import METHODS, Cost, Method
from policy.closed_form import Noise, Prediction, predict
from policy.demand import Demand
from schemas.jobs import Sla

AS_GOOD = 1.1
"""Methods within 10 % of the least expected error count as equally accurate."""

AUTOMATIC = tuple(
    name
    for reader in ("", "readout-", "trex-")
    for name in ((reader or "raw-")[:-1], *(f"{reader}zne-{how}" for how in ("linear", "richardson", "exponential")))
)
"""What `auto` chooses among: methods whose predictions tests/policy compares with simulated devices. The others must be named."""


@dataclass(frozen=True, slots=True)
class Option:
    """One method on one backend.

    Attributes:
        method: how.
        cost: what it spends, calibration and folded circuits included.
        prediction: how well it should do.
    """

    method: Method
    cost: Cost
    prediction: Prediction

    @property
    def error(self) -> float:
        """The expected |estimate - ideal|, in units of the spectral bound."""
        return self.prediction.error

    @classmethod
    def of(cls, name: str, cost: Cost, seen: Noise, demand: Demand) -> Self:
        """The option of a method by its name, under the noise that the backend has for this demand."""
        scales = [float(scale) for scale in cost.shots_by_scale if scale]
        return cls(METHODS[name], cost, predict(seen, demand.target, METHODS[name], scales, demand.workload.shots))


def largest_error(sla: Sla) -> float | None:
    """The SLA as one limit on the expected error (fidelity = 1 - error / 2); None where there is none."""
    limits = [sla.max_error] if sla.max_error is not None else []
    if sla.min_fidelity is not None:
        limits.append(2 * (1 - sla.min_fidelity))
    return min(limits, default=None)


def choose(options: Sequence[Option], sla: Sla) -> Option:
    """The cheapest option that meets the SLA; without an SLA, or where none meets it, the cheapest of the most accurate."""
    limit = largest_error(sla)
    good = [option for option in options if limit is not None and option.error <= limit]
    if not good:
        least = min(option.error for option in options)
        good = [option for option in options if option.error <= AS_GOOD * least]
    return min(good, key=lambda option: (option.cost.shots, option.error, option.method.name))
