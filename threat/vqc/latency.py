"""From submitting an event's circuit to its answer: where the time goes, by backend, transpile level and mitigation.

Jobs are submitted in a burst and run one after another, so that there is a queue to measure: a job starts when it is submitted
and the one before it has ended. What a vendor's device ran by its own account ends at the result; all before that was queue.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from backends.adapter import Backend, Result
from backends.device import Device
from em.methods import METHODS, Workload
from em.planning import Plan, planned
from schemas.jobs import JobRequested
from threat.errors import ThreatError
from threat.vqc.circuit import Floats
from threat.vqc.model import Model

TREATMENTS: Mapping[str, str] = {
    "raw": "neither",
    "trex": "T-REx",
    "zne-linear": "ZNE",
    "trex-zne-linear": "T-REx and ZNE",
}
"""Methods of `em.methods`, and what is on."""

LEVELS = range(4)
PATIENCE_SECONDS = 300.0
_POLL_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Measured:
    """One job.

    Attributes:
        level: of the transpiler; -1 where nothing is transpiled.
        method: how noise is mitigated; `exact` where there is none.
        compile_seconds: of the circuit, in this process, before it is submitted.
        submit_seconds: until the backend has taken the job.
        queue_seconds: until it starts.
        execute_seconds: until its result is there; a simulator's time, not the device's.
        device_seconds: what the device is said to have taken.
        total_seconds: from submitting to the probability, compiling left out.
        two_qubit_gates: in the compiled circuit.
        shots: of all circuits of the job.
        probability, exact: of a threat, by this job and without noise.
    """

    backend: str
    level: int
    method: str
    compile_seconds: float
    submit_seconds: float
    queue_seconds: float
    execute_seconds: float
    device_seconds: float
    total_seconds: float
    two_qubit_gates: int
    shots: int
    probability: float
    exact: float

    @property
    def error(self) -> float:
        """|probability - exact|."""
        return abs(self.probability - self.exact)


def exact(model: Model, features: Floats) -> Iterator[Measured]:
    """Each event alone through the NumPy engine, after one that is not counted."""
    model.score(features[:1])
    for row in features:
        began = time.perf_counter()
        probability = float(model.score(row[None])[0])
        seconds = time.perf_counter() - began
        yield Measured("numpy", -1, "exact", 0.0, 0.0, 0.0, seconds, 0.0, seconds, 0, 0, probability, probability)


def burst(
    model: Model, features: Floats, backend: Backend, *, level: int, method: str, shots: int, simulated: bool
) -> list[Measured]:
    """All events at once on one backend.

    Args:
        model: whose circuits.
        features: (events, k), one job each.
        backend: its jobs run one after another.
        level: of the transpiler.
        method: key of `em.methods.METHODS`.
        shots: before mitigation.
        simulated: whether it runs in this machine's processes; else its own account of the execution is taken.

    Raises:
        BackendError: a job failed.
        ThreatError: no result within `PATIENCE_SECONDS`.
    """
    device = Device(backend.calibration())
    questions = [model.question(row) for row in features]
    jobs = [
        JobRequested(job_id="latency", circuits=(source,), observables=(parity,), shots=shots, seed=seed, optimization_level=level)
        for seed, (source, parity) in enumerate(questions)
    ]
    plans = [planned(METHODS[method], Workload.of(job), {}, job.seed, level) for job in jobs]
    device.compile(questions[-1][0], 1, level)  # what is loaded once is no job's time
    compiled = [_compiled(device, plan) for plan in plans]
    exacts = model.score(features).tolist()
    sent, ids = [], []
    for number, plan in enumerate(plans):
        began = time.perf_counter()
        ids.append(backend.submit(plan.work, f"latency-{backend.name}-{level}-{method}-{number}-{time.time_ns()}"))
        sent.append((began, time.perf_counter()))
    found = []
    previous = 0.0
    for plan, (began, taken), vendor_job_id, (seconds, gates), true in zip(plans, sent, ids, compiled, exacts, strict=True):
        result = _awaited(backend, vendor_job_id)
        ended = time.perf_counter()
        started = max(taken, previous) if simulated else max(taken, ended - result.execution_seconds)
        [[estimate]] = plan.combine(result)
        probability = model.answer(estimate.value)
        found.append(
            Measured(
                backend=backend.name,
                level=level,
                method=method,
                compile_seconds=seconds,
                submit_seconds=taken - began,
                queue_seconds=started - taken,
                execute_seconds=ended - started,
                device_seconds=result.execution_seconds,
                total_seconds=time.perf_counter() - began,
                two_qubit_gates=gates,
                shots=sum(run.shots for run in plan.work.runs),
                probability=probability,
                exact=true,
            )
        )
        previous = ended
    return found


def medians(jobs: Sequence[Measured]) -> list[Measured]:
    """One line for each backend, level and method: medians of times and gates; `probability` is off `exact` by the mean error."""
    keys = dict.fromkeys((job.backend, job.level, job.method) for job in jobs)
    lines = []
    for key in keys:
        mine = [job for job in jobs if (job.backend, job.level, job.method) == key]
        middle = {name: median(asdict(job)[name] for job in mine) for name in asdict(mine[0]) if name.endswith("_seconds")}
        gates, error = round(median(job.two_qubit_gates for job in mine)), float(np.mean([job.error for job in mine]))
        lines.append(replace(mine[0], **middle, two_qubit_gates=gates, probability=error, exact=0.0))
    return lines


def write(jobs: Sequence[Measured], path: Path) -> None:
    """As Parquet, a row a job."""
    import pyarrow as pa  # noqa: PLC0415 - half a second
    import pyarrow.parquet as pq  # noqa: PLC0415

    pq.write_table(pa.Table.from_pylist([asdict(job) for job in jobs]), path)


def plot(lines: Sequence[Measured], path: Path) -> None:
    """As PNG: a panel for each treatment, a bar for each backend and level, stacked by where the time goes."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    methods = list(dict.fromkeys(line.method for line in lines if line.level >= 0))
    figure, panels = plt.subplots(len(methods), sharex=True, figsize=(10, 2.6 * len(methods)), squeeze=False)
    for panel, method in zip(panels[:, 0], methods, strict=True):
        mine = [line for line in lines if line.method in (method, "exact")]
        names = [line.backend + (f" {line.level}" if line.level >= 0 else "") for line in mine]
        bottom = np.zeros(len(mine))
        for part in ("submit", "queue", "execute"):
            heights = np.array([getattr(line, f"{part}_seconds") for line in mine])
            panel.bar(names, heights, bottom=bottom, label=part)
            bottom += heights
        panel.set_ylabel("s (median)")
        panel.set_title(TREATMENTS[method], loc="left", fontsize=10)
        panel.tick_params(axis="x", rotation=90)
    panels[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _compiled(device: Device, plan: Plan) -> tuple[float, int]:
    """Seconds and two-qubit gates of the plan's first body."""
    began = time.perf_counter()
    compiled = device.compile(plan.work.bodies[0], plan.work.transpiler_seed, plan.work.optimization_level)
    return time.perf_counter() - began, sum(len(operation.qubits) == 2 for operation in compiled.operations)


def _awaited(backend: Backend, vendor_job_id: str) -> Result:
    until = time.monotonic() + PATIENCE_SECONDS
    while (result := backend.result(vendor_job_id)) is None:
        if time.monotonic() > until:
            backend.cancel(vendor_job_id)
            raise ThreatError(f"{backend.name} had no result after {PATIENCE_SECONDS:.0f} s; the job was cancelled")
        time.sleep(_POLL_SECONDS)
    return result
