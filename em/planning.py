"""From a decision to the work that obeys it: pure, so that any executor at any time submits the same."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from backends.adapter import Result, Work
from em.errors import JobInvalidError
from em.methods import METHODS, Estimate, Method, Workload
from schemas.jobs import JobRouted
from schemas.mitigation import Parameters

TRANSPILER_SEED = 0
"""The same for all jobs, so that the same circuit is compiled once."""


@dataclass(frozen=True)
class Plan:
    """How a routed job is run.

    Attributes:
        seeds: every random draw's seed by its purpose.
    """

    method: Method
    workload: Workload
    parameters: Parameters
    seeds: Mapping[str, int]
    work: Work

    def bill(self, result: Result) -> tuple[int, float]:
        """(shots, USD) that a job is charged: what ran, and its share of what the method learned from before."""
        shots = self.method.cost(self.workload, self.parameters).shots
        return shots, result.cost_usd * shots / sum(run.shots for run in self.work.runs)

    def combine(self, result: Result) -> tuple[tuple[Estimate, ...], ...]:
        """Estimates by circuit and observable, from the result of `work`; see `Method.combine`."""
        workload = replace(self.workload, forecasts=result.forecasts)
        return self.method.combine(workload, self.parameters, self.seeds["twirling"], result.counts, result.weights)


def plan(routed: JobRouted) -> Plan:
    """The plan of a decision.

    Raises:
        JobInvalidError: nothing was recommended, or a method that there is not (in this version), or that the job cannot have.
    """
    advice = routed.recommendation
    if advice is None or advice.method not in METHODS:
        raise JobInvalidError(f"the method {advice and advice.method!r} is unknown here; known are {', '.join(METHODS)}")
    method = METHODS[advice.method]
    if method.version != advice.method_version:
        raise JobInvalidError(
            f"{method.name} {advice.method_version} was recommended, this executor has {method.version}; submit the job again"
        )
    return planned(method, Workload.of(routed.job), advice.parameters, routed.job.seed, routed.job.optimization_level)


def planned(method: Method, workload: Workload, given: Parameters, seed: int, optimization_level: int = 2) -> Plan:
    """The plan of a workload under a method, for whoever runs it: an executor, the nightly, a test.

    Args:
        given: parameters that differ from the method's defaults.
        seed: the job's, of which all others are made.
        optimization_level: see `backends.adapter.Work`.

    Raises:
        JobInvalidError: the method cannot do the workload, or has no such parameters.
    """
    seeds = seeds_of(seed)
    parameters = method.parameters(given)
    arguments = (workload, parameters, seeds["twirling"])
    bodies, runs = method.bodies(*arguments), method.circuits(*arguments)
    work = Work(bodies, runs, seeds["sampling"], seeds["transpiler"], optimization_level)
    return Plan(method, workload, parameters, seeds, work)


def seeds_of(seed: int) -> dict[str, int]:
    """The seeds that a job's own seed stands for, by purpose, each 63 bits."""
    return {"sampling": _derived(seed, "sampling"), "transpiler": TRANSPILER_SEED, "twirling": _derived(seed, "twirling")}


def _derived(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8]) >> 1
