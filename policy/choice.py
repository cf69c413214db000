"""The choice between methods: the cheapest that is good enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from backends.terms import cost
from em.methods import METHODS, Cost, Method
from policy.closed_form import Noise, Prediction, predict, seconds
from policy.demand import Demand
from schemas.calibration import Price
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
        name: of the method.
        method: how.
        cost: what it spends, calibration and folded circuits included.
        prediction: how well it should do.
    """

    name: str
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
        return cls(name, METHODS[name], cost, predict(seen, demand.target, METHODS[name], scales, demand.workload.shots))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may take on a backend.

    Attributes:
        seconds: until its deadline, from its request on; None for no deadline.
        usd: at most; None for any.
        price: of the backend.
        noise: how long a circuit and a shot take there.
    """

    seconds: float | None
    usd: float | None
    price: Price
    noise: Noise

    def allow(self, option: Option) -> bool:
        """Whether an option keeps them."""
        takes = seconds(self.noise, option.cost.shots_by_scale)
        dear = self.usd is not None and cost(self.price, option.cost.shots, takes) > self.usd
        return not dear and (self.seconds is None or takes <= self.seconds)


def within(options: Sequence[Option], limits: Limits) -> tuple[list[Option], str]:
    """The options that keep the limits, and a sentence where they matter; all of them where none does: the scheduler says no."""
    free = limits.usd is None and limits.seconds is None
    kept = [*options] if free else [option for option in options if limits.allow(option)]
    if len(kept) == len(options):
        return [*options], ""
    if not kept:
        return [*options], "No method keeps the limits of time and money."
    least = min(options, key=lambda option: option.error)
    return kept, "" if least in kept else f"{least.name} would take too long or cost too much."


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
    return min(good, key=lambda option: (option.cost.shots, option.error, option.name))
