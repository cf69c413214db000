"""Small nights of the harness and the nightly's own test of them. Our code is imported only where they run: in forks."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Part:
    """Methods that build circuits of their own, on one device with one budget: all that they build has to be compiled.

    Attributes:
        methods: of a night.
        files: that these methods alone depend on.
    """

    methods: tuple[str, ...]
    files: tuple[str, ...]


PARTS = (
    Part(("cdr", "vncdr"), ("em/methods/regression.py", "em/near_clifford.py")),
    Part(("vd",), ("em/methods/distillation.py",)),
)
"""Of a night, after the first, which has all other methods on all devices with all budgets."""

CIRCUITS, QUBITS, DEPTH = 3, 4, 3
BUDGETS = (1024, 65536)
BACKENDS = ("aer_noisy", "idle:fake_jakarta")
"""One of them with noise in its waits: nothing else shows what decoupling does there."""


def scopes(known: "Known", seed: int) -> list[Any]:
    """A night's, one for each part."""
    from em.harness import night

    built = {name for part in PARTS for name in part.methods}
    methods = tuple(name for name in (*night.METHODS, *night.MORE) if name not in built)
    first = replace(known.scope, methods=methods, seed=seed)
    return [first, *(replace(first, methods=part.methods, budgets=BUDGETS[-1:], backends=BACKENDS[:1]) for part in PARTS)]


def part_of(file: str) -> int:
    """The number of the part that a file belongs to."""
    return next((number for number, part in enumerate(PARTS, 1) if file in part.files), 0)


class Known:
    """What no mutant changes: calibrations, circuits, and what the transpiler makes of them. Made once, and handed to forks."""

    def __init__(self) -> None:
        from backends import registry
        from em.harness import night
        from em.harness.plan import Scope
        from schemas.codec import encode

        snapshots = {name: backend.calibration() for name, backend in registry.load(BACKENDS).items()}
        self.ids = {name: each.calibration_id for name, each in snapshots.items()}
        self.encoded = {name: encode(each) for name, each in snapshots.items()}
        self.scope = Scope(night.FAMILIES, CIRCUITS, ("raw",), BUDGETS, BACKENDS, qubits=QUBITS, depth=DEPTH)
        self.circuits = {draw: self.scope.draw(*draw) for draw in self.scope.draws()}

    def forget(self) -> None:
        """What was compiled until now: of earlier nights it is more than a night needs."""
        from em.harness.measure import _device

        for each in self.encoded.values():
            _device(each)._compiled.clear()

    def pickled(self) -> bytes:
        """With the circuits that were compiled since. Only forks may read it: it would import our code."""
        from em.harness.measure import _device

        return pickle.dumps((self, {name: dict(_device(each)._compiled) for name, each in self.encoded.items()}))

    @staticmethod
    def unpickled(content: bytes) -> "Known":
        from em.harness.measure import _device

        known, compiled = pickle.loads(content)  # noqa: S301 - our own
        for name, bodies in compiled.items():
            _device(known.encoded[name])._compiled.update(bodies)
        return known


def measured(known: Known, scope: Any, kept: dict[int, Any]) -> tuple[pa.Table, int]:
    """(results, failed tasks) of a scope; `kept` has distributions, and gets new ones."""
    from em.engines.pauli_transfer import PauliTransfer
    from em.harness.measure import measure
    from em.harness.plan import batch

    original = PauliTransfer.__dict__["distributions"]

    def distributions(self: Any, device: Any, asked: Sequence[Any]) -> list[Any]:
        keys = [hash((device.calibration.calibration_id, circuit.operations, circuit.places)) for circuit in asked]  # forks agree
        missing = {key: circuit for key, circuit in zip(keys, asked, strict=True) if key not in kept}
        kept.update(zip(missing, original(self, device, list(missing.values())), strict=True))
        return [kept[key] for key in keys]

    PauliTransfer.distributions = distributions  # type: ignore[method-assign]
    try:
        tables, failed = [], 0
        for drawn in known.circuits.values():
            job = batch(scope, drawn[: scope.circuits], known.ids, ())
            assert job is not None
            done = measure(job, known.encoded)
            tables.append(done.results.append_column("family", pa.array([job.family] * len(done.results))))
            failed += len(done.failed)
        return pa.concat_tables(tables), failed
    finally:
        PauliTransfer.distributions = original  # type: ignore[method-assign]


def a_night(known: Known, seed: int, kept: dict[int, Any]) -> "Tables":
    """A whole night and its replays."""
    from em.harness.night import replayed

    asked = scopes(known, seed)
    return Tables(*([measured(known, scope, kept)[0] for scope in some] for some in (asked, replayed(asked))))


def alarms(tonight: "Tables", history: Sequence["Tables"]) -> list[str]:
    """What the nightly's test says."""
    from datetime import date, timedelta

    from em.harness.night import Night
    from em.harness.regression import compare

    nights = []
    for number, tables in enumerate([*history, tonight]):
        night = Night(date(2026, 1, 1) + timedelta(number), f"{number:08d}", Path(f"night-{number}"))
        night.__dict__.update(rows=pa.concat_tables(tables.rows), replays=pa.concat_tables(tables.replays))
        nights.append(night)
    return [move.sentence for move in compare(nights[-1], nights[:-1]).regressions]


@dataclass(frozen=True)
class Tables:
    """A night's results, and what it replayed, part by part."""

    rows: list[pa.Table]
    replays: list[pa.Table]


COLUMNS = ("estimate", "standard_error", "raw", "shots", "abstained", "executions")


def same(some: pa.Table, night: pa.Table) -> bool:
    """Whether some of a night's results are that night's to the last bit."""
    tonight = dict(
        zip(zip(night["task_id"].to_pylist(), night["observable"].to_pylist(), strict=True), _values(night), strict=True)
    )
    places = zip(some["task_id"].to_pylist(), some["observable"].to_pylist(), strict=True)
    return all(tonight.get(place) == values for place, values in zip(places, _values(some), strict=True))


def _values(rows: pa.Table) -> list[str]:
    return [repr(values) for values in zip(*(rows[name].to_pylist() for name in COLUMNS), strict=True)]
