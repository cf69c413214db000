"""The scheduler's figures, each beside a control: routing, re-planning, windows against the exact optimum, crypto modes, memory.

`python -m benchmarks.scheduler [--quick]`. The month of load is `quantumai scheduler simulate` (docs/scheduler.md).
"""

import argparse
import gc
import os
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import TypeVar

import numpy as np

from scheduler.crypto import SUITES
from scheduler.ledger import Ledger
from scheduler.oracle import optimum
from scheduler.routing import Scheduler
from scheduler.score import Rates
from scheduler.window import NOWHERE, assign, value
from schemas.calibration import CalibrationUpdated, GateCalibration, Hop, Price, QubitCalibration, Route
from schemas.jobs import BackendScore, EmRecommended, JobRequested, JobRouted, JobStatus
from schemas.mitigation import Recommendation

T = TypeVar("T")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
SEED = 6
MODES = ("any", "pqc", "qkd")
NAMES = [*SUITES, "rot13"]


def calibration(name: str, draw: random.Random, **fields: object) -> CalibrationUpdated:
    """A backend with two qubits, and routes of one to three hops with suites at random."""
    routes = tuple(
        Route(name=f"route{number}", hops=tuple(_hops(name, draw.randint(1, 3), draw))) for number in range(draw.randint(0, 3))
    )
    links = (
        Hop(source="control-plane", target=f"relay{draw.randint(0, 20)}", suites=_suites(draw)),
        Hop(source=f"relay{draw.randint(0, 20)}", target=f"relay{draw.randint(0, 20)}", suites=_suites(draw)),
        Hop(source=f"relay{draw.randint(0, 20)}", target=name, suites=_suites(draw)),
    )
    plain = {
        "queue_seconds": draw.uniform(0, 600),
        "availability": draw.choice([0.0, 0.9, 1.0]),
        "price": Price(per_second_usd=draw.uniform(0.1, 2)),
        "crypto_suites": _suites(draw),
        "routes": routes,
        "links": links,
    }
    return CalibrationUpdated(
        backend=name,
        provider="bench",
        calibration_id=f"id-of-{name}",
        taken_at=AT,
        qubits=(QubitCalibration(prob_meas1_prep0=0.0, prob_meas0_prep1=0.0),) * 2,
        gates=(GateCalibration(name="cx", qubits=(0, 1), error=0.01, duration_seconds=3e-7),),
        basis_gates=("cx",),
        published_at=AT,
        **(plain | fields),
    )


def _hops(name: str, count: int, draw: random.Random) -> Iterator[Hop]:
    stops = ["control-plane", *(f"stop{number}" for number in range(count - 1)), name]
    for source, target in pairwise(stops):
        yield Hop(source=source, target=target, suites=_suites(draw))


def _suites(draw: random.Random) -> tuple[str, ...]:
    return tuple(draw.sample(NAMES, draw.randint(0, 4)))


def advice(name: str, draw: random.Random) -> Recommendation:
    return Recommendation(
        backend=name,
        calibration_id=f"id-of-{name}",
        method="raw",
        method_version="1",
        parameters={},
        shot_overhead=1.0,
        total_shots=draw.randint(1000, 100_000),
        circuit_count=1,
        expected_error=0.1,
        expected_fidelity=draw.uniform(0.5, 1),
        fidelity_low=0.0,
        fidelity_high=1.0,
        confidence=0.9,
        execution_seconds=draw.lognormvariate(4, 1),
        reason="a benchmark",
        qubits=2,
    )


def asked(number: int, candidates: tuple[Recommendation, ...], mode: str = "any") -> EmRecommended:
    job = JobRequested(job_id=f"job-{number}", tenant=f"t{number % 7}", circuits=("OPENQASM 3.0;",), crypto_mode=mode)
    return EmRecommended(job_id=job.job_id, job=job, candidates=candidates, model_version="bench")


def timed(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """(median, 99th percentile) of the CPU milliseconds of a call; what the call before made is freed behind the clock."""
    found, made = list[float](), None
    for _ in range(repeats):
        before, begun = made, time.process_time()
        made = call()
        found.append((time.process_time() - begun) * 1e3)
        del before
    return statistics.median(found), sorted(found)[int(0.99 * (repeats - 1))]


def collected(made: T) -> T:
    """Charges the pass of the garbage collector that was put off while this was made."""
    gc.collect(0)
    return made


def routing(backends: int, repeats: int) -> None:
    """One decision among many backends; the control scores as many by validated records, one by one."""
    draw = random.Random(SEED)
    fleet = {f"b{number}": calibration(f"b{number}", draw) for number in range(backends)}
    recommended = asked(0, tuple(advice(name, draw) for name in fleet))
    scheduler = Scheduler(fleet, clock=lambda: AT)
    decision = scheduler.route(recommended)
    gc.collect()
    gc.freeze()
    ours = timed(lambda: collected(scheduler.route(recommended)), repeats)
    fields = [score.model_dump() for score in decision.scores]
    control = timed(lambda: sorted((BackendScore(**each) for each in fields), key=lambda score: -score.score), repeats)
    blocked = sum(bool(score.blocked) for score in decision.scores)
    print(f"routing over {backends:,} backends, {blocked:,} of them blocked: {ours[0]:.2f} ms (p99 {ours[1]:.2f}), limit 5 ms")
    print(f"  control, validating and sorting their scores alone: {control[0]:.2f} ms; ours / control {ours[0] / control[0]:.2f}")


def replanning(jobs: int, backends: int) -> None:
    """All queued jobs of a backend that goes away are decided again; the control decides them one by one."""
    draw = random.Random(SEED)
    open_ = {"availability": 1.0, "crypto_suites": ("X25519",), "links": (), "queue_seconds": 0.0}
    fleet = {}
    for number in range(backends):
        name = f"b{number}"
        routes = (Route(name="wire", hops=(Hop(source="control-plane", target=name, suites=("X25519",)),)),)
        price = Price(per_second_usd=1e-6 if number == 0 else 1.0)
        fleet[name] = calibration(name, draw, routes=routes, price=price, **open_)
    scheduler = Scheduler(fleet, clock=lambda: AT, rates=Rates(usd_per_second=0.0))  # so that all wait at the cheapest
    candidates = [tuple(advice(name, draw) for name in fleet) for _ in range(50)]
    advised = [asked(number, candidates[number % 50]) for number in range(jobs)]
    begun = time.process_time()
    for number, each in enumerate(advised):
        routed = scheduler.route(each)
        scheduler.ledger.hear(queued(routed, f"event-{number}"))
    one_by_one = time.process_time() - begun
    there = sum(job.routed.backend == "b0" for job in scheduler.ledger.queued())
    gone = fleet["b0"].model_copy(update={"availability": 0.0, "published_at": AT + timedelta(seconds=1)})
    fleet["b0"] = gone
    begun = time.process_time()
    moved = collected(scheduler.reconsider(gone))
    seconds = time.process_time() - begun
    assert len(moved) == there and all(each.backend != "b0" for each in moved)
    print(f"re-planning {len(moved):,} queued jobs among {backends} backends, new decisions included: {seconds:.2f} s, limit 1 s")
    print(f"  control, deciding {jobs:,} jobs one by one: {one_by_one:.2f} s; ours / control {seconds / one_by_one:.2f}")


def queued(routed: JobRouted, event_id: str) -> JobStatus:
    return JobStatus(
        job_id=routed.job_id,
        tenant=routed.job.tenant,
        state="QUEUED",
        backend=routed.backend or "",
        queued_at=AT,
        updated_at=AT,
        routed_event_id=event_id,
        routed=routed,
    )


def windows(sizes: tuple[int, ...], repeats: int) -> None:
    """Our assignment of a window beside the exact optimum, and beside two simpler ways."""
    print(
        "windows against the exact optimum (MILP, HiGHS): value / optimum, the least of them, identical choices, CPU s ours / exact"
    )
    for jobs in sizes:
        rows = []
        for number in range(repeats):
            draw = np.random.default_rng([SEED, jobs, number])
            backends = int(draw.integers(4, 11))
            good = draw.uniform(0.3, 1, backends)
            values = np.clip(good * draw.uniform(0.6, 1, (jobs, backends)), 0, 1) * draw.choice([1, 1, 1, 0], (jobs, backends))
            seconds = draw.lognormal(4, 1, (jobs, 1)) * draw.uniform(0.8, 1.2, (jobs, backends))
            room = np.full(backends, seconds.mean(axis=1).sum() / backends * draw.choice([0.8, 1.0, 1.25]))
            begun = time.process_time()
            ours = assign(values, seconds, room)
            middle = time.process_time()
            with silence():
                exact, bound = optimum(values, seconds, room, limit_seconds=30)
            ended = time.process_time()
            best = max(value(values, exact), 1e-12)
            rows.append(
                (
                    value(values, ours) / best,
                    float((ours == exact).mean()),
                    value(values, in_turn(values, seconds, room, values)) / best,
                    value(values, in_turn(values, seconds, room, -seconds)) / best,
                    middle - begun,
                    ended - middle,
                    best / bound,
                )
            )
        mean = np.mean(rows, axis=0)
        print(
            f"  {jobs:>4} jobs, {repeats} windows: {mean[0]:.4f} ({min(row[0] for row in rows):.4f}), identical {mean[1]:.1%}, "
            f"{mean[4]:.3f} / {mean[5]:.2f} s; optimum proved to {mean[6]:.4f}; "
            f"controls: in order of arrival to the best with room {mean[2]:.4f}, to the fastest {mean[3]:.4f}"
        )


def in_turn(values: np.ndarray, seconds: np.ndarray, room: np.ndarray, wish: np.ndarray) -> np.ndarray:
    """As they came, each where it wishes most among what has room."""
    left, found = room.copy(), np.full(len(values), NOWHERE)
    for job in range(len(values)):
        may = (values[job] > 0) & (seconds[job] <= left)
        if may.any():
            found[job] = np.where(may, wish[job], -np.inf).argmax()
            left[found[job]] -= seconds[job, found[job]]
    return found


@contextmanager
def silence() -> Iterator[None]:
    """HiGHS writes to the process's output."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def crypto(jobs: int) -> None:
    """Random jobs x backends x routes, judged by a checker that shares nothing with the scheduler."""
    draw = random.Random(SEED)
    broken = untrue = routed = blocked = 0
    for start in range(0, jobs, 500):
        fleet = {f"b{number}": calibration(f"b{number}", draw, availability=1.0) for number in range(12)}
        scheduler = Scheduler(fleet, clock=lambda: AT)
        candidates = tuple(advice(name, draw) for name in fleet)
        links = [link for each in fleet.values() for link in each.links]
        reach = {mode: reachable(links, mode) for mode in MODES}
        for number in range(start, min(start + 500, jobs)):
            mode = draw.choice(MODES)
            decision = scheduler.route(asked(number, candidates, mode))
            routed += decision.decision == "ROUTED"
            for score in decision.scores:
                each = fleet[score.backend]
                possible = fine(mode, each.crypto_suites) and (
                    score.backend in reach[mode] or any(all(fine(mode, hop.suites) for hop in route.hops) for route in each.routes)
                )
                blocked += bool(score.blocked)
                broken += not score.blocked and not (possible and path_holds(mode, score.path, each.routes, links, score.backend))
                untrue += bool(score.blocked) and (
                    possible or not all(true(mode, said, each, reach[mode]) for said in score.blocked)
                )
    print(f"crypto: {jobs:,} random jobs over 12 backends, {routed:,} routed, {blocked:,} offers rejected")
    print(f"  routes that break their mode: {broken}; rejections that are not true: {untrue}")
    assert not broken and not untrue


def fine(mode: str, suites: Sequence[str]) -> bool:
    """By the letters of the names, not by the table."""
    wanted = {"any": lambda name: name != "rot13", "pqc": lambda name: "KEM" in name, "qkd": lambda name: name.startswith("QKD")}[
        mode
    ]
    return any(wanted(name) for name in suites)


def reachable(links: list[Hop], mode: str) -> set[str]:
    """By relaxing until nothing changes."""
    merged: dict[tuple[str, str], tuple[str, ...]] = {}
    for link in links:
        merged[link.source, link.target] = merged.get((link.source, link.target), ()) + link.suites
    found = {"control-plane"}
    while more := {target for (source, target), suites in merged.items() if source in found and fine(mode, suites)} - found:
        found |= more
    return found


def path_holds(mode: str, path: tuple[str, ...], routes: tuple[Route, ...], links: list[Hop], backend: str) -> bool:
    """Whether each step of the path is a hop with a suite of the mode, from the control plane to the backend."""
    if not path or path[0] != "control-plane" or path[-1] != backend:
        return False
    for route in routes:
        if (route.hops[0].source, *(hop.target for hop in route.hops)) == path and all(
            fine(mode, hop.suites) for hop in route.hops
        ):
            return True
    offered = {
        step: [suite for link in links if (link.source, link.target) == step for suite in link.suites] for step in pairwise(path)
    }
    return all(fine(mode, suites) for suites in offered.values())


def true(mode: str, said: str, each: CalibrationUpdated, reached: set[str]) -> bool:
    """Whether a sentence about a route, an endpoint or the network holds."""
    if "endpoint" in said:
        return not fine(mode, each.crypto_suites)
    if "in the network" in said:
        return each.backend not in reached
    name = said.partition("route ")[2].partition(" ")[0]
    hop = said.partition("hop ")[2].partition(",")[0]
    route = next(route for route in each.routes if route.name == name)
    return any(f"{one.source} -> {one.target}" == hop and not fine(mode, one.suites) for one in route.hops)


def memory(jobs: int) -> None:
    """What a ledger holds after many jobs have come and gone."""
    draw = random.Random(SEED)
    fleet = {f"b{number}": calibration(f"b{number}", draw, availability=1.0, crypto_suites=("X25519",)) for number in range(6)}
    clock = (AT + timedelta(seconds=0.1 * number) for number in count())
    scheduler = Scheduler(fleet, clock=lambda: next(clock), ledger=Ledger())
    candidates = tuple(advice(name, draw) for name in fleet)
    tracemalloc.start()
    sizes = []
    for part in range(4):
        for number in range(jobs // 4):
            routed = scheduler.route(asked(part * jobs + number, candidates))
            status = queued(routed, "event")
            running = status.model_copy(update={"state": "RUNNING", "started_at": AT})
            for each in (status, running, running.model_copy(update={"state": "DONE", "routed": None})):
                scheduler.ledger.hear(each)
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0] / 1e6)
    tracemalloc.stop()
    shown = ", ".join(f"{size:.2f}" for size in sizes)
    print(f"memory after each quarter of {jobs:,} jobs, ten a second: {shown} MB; under way {len(scheduler.ledger)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    quick = parser.parse_args().quick
    routing(1000, 30 if quick else 200)
    replanning(1000 if quick else 10_000, 10)
    windows((20, 50) if quick else (20, 50, 100, 200), 2 if quick else 5)
    crypto(5_000 if quick else 100_000)
    memory(2_000 if quick else 20_000)


if __name__ == "__main__":
    main()
