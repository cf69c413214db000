"""Decisions at 200 per second on one core: the model alone, inside the agent, and through REST; beside them, the closed form.

    python -m benchmarks.policy [--decisions 2000] [--rate 200] [--rest]
    python -m benchmarks.policy --calibrator .quantumai/policy/data
    python -m benchmarks.policy --strings .quantumai/policy/data

Jobs come at fixed times whether or not the one before is decided, so that waiting counts (open load). Known circuits are those that
were decided about before; new ones are parsed and compiled for every backend first, which no rate of 200 per second allows.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from backends import registry
from em.families import FAMILIES
from policy.choice import AUTOMATIC
from policy.features import NAMES
from policy.learned import Learned
from policy.recommender import Recommender
from policy.store import Asked
from schemas.jobs import JobRequested

FAMILY_NAMES = ("random", "ghz", "ising", "heisenberg", "vqe", "qaoa", "mirror", "h2-dynamics")
KNOWN = 40
CONNECTIONS = 16
_WHOLE = 0.999


def jobs(count: int, seed: int) -> list[JobRequested]:
    made = []
    for number in range(count):
        instance = FAMILIES[FAMILY_NAMES[number % len(FAMILY_NAMES)]].instance(number, seed)
        made.append(JobRequested(job_id=f"j{number}", circuits=(instance.source,), observables=instance.observables, seed=number))
    return made


def open_load(decide: Callable[[JobRequested], object], asked: Sequence[JobRequested], rate: float, decisions: int) -> list[float]:
    """Seconds from when a job was due to its decision; CPU seconds a decision come last."""
    took, cpu, begun = [], time.thread_time(), time.perf_counter()
    for number in range(decisions):
        due = begun + number / rate
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        decide(asked[number % len(asked)])
        took.append(time.perf_counter() - due)
    return [*took, (time.thread_time() - cpu) / decisions]


def said(name: str, took: Sequence[float]) -> None:
    *waits, cpu = took
    half, most, worst = (1e3 * np.quantile(waits, part) for part in (0.5, 0.99, 1.0))
    print(f"{name:44} p50 {half:8.2f} ms  p99 {most:8.2f} ms  worst {worst:8.2f} ms  CPU {1e3 * cpu:6.2f} ms each")


def model_alone(learned: Learned, backends: int) -> None:
    rows = np.tile(learned.model.reference.mean.mean(), (backends, len(AUTOMATIC), len(NAMES))).astype(np.float32)
    rows[:, :, 0] = -4
    took = []
    for _ in range(2000):
        begun = time.thread_time()
        learned.model.predict(rows)
        took.append(time.thread_time() - begun)
    name = f"model: {backends} backends x {len(AUTOMATIC)} methods, one call"
    half, most = (1e3 * np.quantile(took, part) for part in (0.5, 0.99))
    print(f"{name:44} p50 {half:8.2f} ms  p99 {most:8.2f} ms of CPU")


def agent(decisions: int, rate: float) -> None:
    calibrations = {name: backend.calibration() for name, backend in registry.load().items()}
    asked = Asked(Path("/nonexistent"))
    learned, closed = Recommender(calibrations, asked), Recommender(calibrations)
    model = asked()
    assert isinstance(model, Learned), model
    model_alone(model, len(calibrations))
    known = jobs(KNOWN, 1)
    for recommender in (learned, closed):
        recommender.warm()
        for job in known:
            recommender.recommend(job)
    said(f"agent, learned, known circuits, {rate:g}/s", open_load(learned.recommend, known, rate, decisions))
    said(f"agent, closed form, known circuits, {rate:g}/s", open_load(closed.recommend, known, rate, decisions))
    new = jobs(48, 2)
    said("agent, learned, new circuits, 2/s", open_load(learned.recommend, new, 2, len(new)))
    said("agent, closed form, new circuits, 2/s", open_load(closed.recommend, jobs(48, 3), 2, 48))


def rest(decisions: int, rate: float) -> None:
    """The service's own process serves; this one asks."""
    import multiprocessing
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(port,), daemon=True)
    server.start()
    try:
        said(f"REST, learned, known circuits, {rate:g}/s", asyncio.run(_ask(port, decisions, rate)))
    finally:
        server.terminate()
        server.join()


def _serve(port: int) -> None:
    import uvicorn

    from api.application import application
    from api.authentication import Gate
    from api.policy import policy
    from api.rate_limits import RateLimits
    from api.roles import Principal, Role

    calibrations = {name: backend.calibration() for name, backend in registry.load().items()}
    recommender = Recommender(calibrations, Asked(Path("/nonexistent")))
    recommender.warm()
    limits = RateLimits(10_000, 10_000)
    gate = Gate([lambda request: Principal("bench", frozenset((Role.READER,)), "bearer")], limits, limits)
    app = application("bench", (policy,), gate)
    app.state.recommender = recommender
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


async def _ask(port: int, decisions: int, rate: float) -> list[float]:
    """Over a few connections that stay open, by hand: an HTTP library would cost more than what is measured."""
    requests = []
    for job in jobs(KNOWN, 1):
        body = json.dumps({"circuits": job.circuits, "observables": [each.model_dump() for each in job.observables]}).encode()
        head = "POST /api/v1/policy/recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    while not connections:
        try:
            connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
        except OSError:
            await asyncio.sleep(0.1)  # it is still starting
    for request in requests:
        await _answered(connections[0], request)
    took: list[float] = []
    begun = time.perf_counter()

    async def one(connection: int) -> None:
        for number in range(connection, decisions, CONNECTIONS):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await _answered(connections[connection], requests[number % len(requests)])
            took.append(time.perf_counter() - due)

    await asyncio.gather(*(one(connection) for connection in range(CONNECTIONS)))
    return [*took, float("nan")]


async def _answered(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> None:
    reader, writer = connection
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    await reader.readexactly(length)


def calibrator(data: Path) -> None:
    """mitiq's Calibrator on the held-out devices: one strategy for each, which it picks by running circuits of its own there."""
    from backends.adapter import Run, Work
    from backends.simulation import Simulator
    from benchmarks.mitiq_reference import calibrated
    from policy.dataset import load
    from policy.evaluation import figures, measured
    from policy.examples import examples
    from policy.model import load as load_model
    from policy.places import made, places
    from policy.store import SHIPPED

    known = examples(load(data))
    judge = known.where(known.group == "unseen")
    picks = {}
    for place in places(None):
        if place.name in judge.place:
            simulator = Simulator(made(place, None))
            picks[place.name] = calibrated(
                lambda source, shots, ran=simulator: ran.run(Work((source,), (Run(0, shots),), 1, 0, 0)).counts[0], 2000
            )
    print(", ".join(f"{name}: {pick}" for name, pick in picks.items()))
    predicted = np.array([[float(method != picks[name]) for method in AUTOMATIC] for name in judge.place])
    for line in (figures("devices", "mitiq's Calibrator", predicted + 1, judge), measured("devices", load_model(SHIPPED), judge)):
        print(f"{line.name:24} within 10 % {line.within:6.1%}  error / least {line.ratio:.3f}  top-1 {line.top:6.1%}")


def strings(data: Path, devices: int = 4) -> None:
    """The shipped model on held-out devices where no signal is simulated: as for circuits that are too dear for it."""
    import policy.simulated
    from policy.dataset import Drawn, load, shots_per_run
    from policy.device import Device as Outline
    from policy.evaluation import measured
    from policy.examples import examples
    from policy.model import load as load_model
    from policy.places import made, places
    from policy.seen import Seen
    from policy.store import SHIPPED

    policy.simulated.MOST_NUMBERS = 0.0
    table, held = load(data), [place for place in places(None) if place.group == "unseen"]
    known, features = examples(table), []
    there = [place for place in held if place.name in known.place][:devices]
    chosen = np.isin(known.place, [place.name for place in there])
    by_name, seen = {place.name: place for place in there}, dict[tuple[object, ...], Seen]()
    columns = ("place", "family", "number", "seed", "qubits", "observable", "budget")
    for row in table.select(columns).filter(chosen).to_pylist():
        *about, number, budget = (row[name] for name in columns)
        instance, device = Drawn(*about[1:]).instance(), made(by_name[about[0]], None)
        key = *about, number
        if key not in seen:
            seen[key] = Seen(device, Outline(about[0], device.calibration), instance.source, instance.observables[number])
        features.append(seen[key].features(shots_per_run(instance, budget)))
    judge, model = known.where(chosen), load_model(SHIPPED)
    followed = dataclasses.replace(judge, features=np.array(features))
    kept = followed.features[:, 0, NAMES.index("kept")]
    lost, whole = ("strings, some dropped", kept < _WHOLE), ("strings, none dropped", kept >= _WHOLE)
    print(f"{', '.join(place.name for place in there)}; strings were dropped in {np.mean(kept < _WHOLE):.1%} of cases")
    for name, some in (("simulated", kept >= 0), lost, whole):
        line = measured(name, model, (judge if name == "simulated" else followed).where(some))
        rates = (
            f"within 10 % {line.within:6.1%}  error / least {line.ratio:.3f}  pairs {line.pairs:6.1%}  ECE {line.calibration:6.1%}"
        )
        print(f"{name:24} {line.cases:6,} cases  {rates}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument(
        "--rest", action="store_true", help="through REST as well, without TLS and tokens, which benchmarks.tls times"
    )
    parser.add_argument("--calibrator", type=Path, metavar="DATA", help="only: mitiq's Calibrator on a data set's held-out devices")
    parser.add_argument("--strings", type=Path, metavar="DATA", help="only: figures where signals are not simulated")
    asked = parser.parse_args()
    if asked.strings:
        strings(asked.strings)
        return
    if asked.calibrator:
        calibrator(asked.calibrator)
        return
    load = os.getloadavg()[0]
    print(f"load average {load:.1f} on {os.cpu_count()} cores" + (": busy" if load > 1 else ""))
    agent(asked.decisions, asked.rate)
    if asked.rest:
        rest(asked.decisions, asked.rate)


if __name__ == "__main__":
    main()
