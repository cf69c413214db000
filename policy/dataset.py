"""What the policy learns from: circuits of all families on many devices, and the true expected error of every method there.

A row is one observable of one circuit on one device at one budget. Budgets are all shots that a method may spend, calibration and
folded circuits included: a method that costs three times as much gets a third for each of its runs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backends.errors import WorkRefusedError
from em.families import FAMILIES, Instance
from em.harness.workers import Workers
from em.methods import METHODS, Workload
from em.observables import grouped
from policy.choice import AUTOMATIC
from policy.device import Device as Outline
from policy.errors import PolicyError
from policy.features import NAMES
from policy.model import FORMAT
from policy.places import Place, made, places
from policy.seen import Seen
from policy.truth import Truth, truths

BUDGETS = (256, 1024, 4096, 16384, 65536)
"""Shots of all runs together, per group of observables."""

WIDTHS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"random": tuple(range(4, 9)), "mirror": tuple(range(4, 9)), "ghz": tuple(range(3, 10)), "ising": tuple(range(4, 9))}
)
"""Family -> qubits, where more than the family's own are learned from."""

CIRCUITS: Mapping[str, int] = MappingProxyType({"fit": 6, "conformal": 4, "unseen": 5, "early": 2, "late": 5})
"""Of each family, on each device of a group."""

_RARE = MappingProxyType({"lih-dynamics": 2, "h2o-dynamics": 8})  # dear to simulate: one in so many


@dataclass(frozen=True, slots=True)
class Drawn:
    """A circuit by which it can be drawn again."""

    family: str
    number: int
    seed: int
    qubits: int | None

    def instance(self) -> Instance:
        """The circuit, with observables and exact values."""
        return _instance(self)


@lru_cache(maxsize=4096)
def _instance(drawn: Drawn) -> Instance:
    return FAMILIES[drawn.family].instance(drawn.number, drawn.seed, drawn.qubits)


def measure(
    folder: Path, seed: int, days: Path | None, workers: int, *, circuits: Mapping[str, int] = CIRCUITS, every: int = 1
) -> Iterator[tuple[int, int]]:
    """Writes what the folder does not have yet, a file for each device; yields (done, all). Kill it at any time.

    Args:
        seed: of the circuits.
        days: daily properties of a real device, a folder or an archive; None for none.
        workers: processes.
        circuits: group -> of each family, on each of its devices.
        every: so many-th device is used.
    """
    wanted = list(enumerate(places(days)))[::every]
    folder.mkdir(parents=True, exist_ok=True)
    missing = [(index, place) for index, place in wanted if not _path(folder, place, seed).is_file()]
    order = np.random.default_rng(seed).permutation(len(missing))
    done = len(wanted) - len(missing)
    yield done, len(wanted)
    with Workers(workers) as pool:
        running = {}
        for number in order:  # a run that is stopped early has some of everything
            index, place = missing[number]
            running[pool.submit(rows, place, days, seed, index, circuits[place.group])] = place
        for future in as_completed(running):
            _write(_path(folder, running[future], seed), future.result())
            done += 1
            yield done, len(wanted)


def rows(place: Place, days: Path | None, seed: int, index: int, circuits: int) -> list[dict[str, Any]]:
    """All rows of a device; `index` decides which circuits are its own."""
    device = made(place, days)
    outline = Outline(place.name, device.calibration)
    found = []
    for drawn in _drawn(seed, index, circuits):
        instance = drawn.instance()
        if instance.qubits <= len(device.working):
            try:
                (exact,) = truths(device, [instance])
            except WorkRefusedError:
                continue  # too few couplings work that day
            about = {
                "group": place.group,
                "place": place.name,
                "calibration_id": device.calibration.calibration_id,
                **asdict(drawn),
            }
            case = {**about, "circuit_hash": instance.circuit_hash}
            seen = [Seen(device, outline, instance.source, observable) for observable in instance.observables]
            for budget in BUDGETS:
                shots = shots_per_run(instance, budget)
                for number, truth in enumerate(exact):
                    found.append(row({**case, "observable": number}, truth, seen[number], budget, shots))
    return found


def row(case: Mapping[str, Any], truth: Truth, seen: Seen, budget: int, shots: Mapping[str, int]) -> dict[str, Any]:
    """One row of `SCHEMA`."""
    errors = {name: truth.error(name, spent) for name, spent in shots.items()}
    return {
        **case,
        "budget": budget,
        "features": seen.features(shots).reshape(-1),
        **{f"error {name}": error for name, (error, _) in errors.items()},
        **{f"rmse {name}": rmse for name, (_, rmse) in errors.items()},
        **{f"control {name}": error for name, error in zip(AUTOMATIC, seen.control(shots), strict=True)},
    }


def shots_per_run(instance: Instance, budget: int) -> Mapping[str, int]:
    """Method -> shots of each of its runs, so that it spends the budget in all."""
    groups = grouped(instance.observables)
    workload = Workload(1, instance.observables, groups, budget, (instance.source,))
    return {name: max(2, round(budget / METHODS[name].cost(workload, {}).overhead)) for name in AUTOMATIC}


def load(folder: Path) -> pa.Table:
    """All rows of a folder.

    Raises:
        PolicyError: there are none.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise PolicyError(f"there is nothing to learn from in {folder}; make it with `quantumai policy measure`")
    tables = [pq.read_table(path) for path in files]
    if any(table.schema.metadata != SCHEMA.metadata for table in tables):
        raise PolicyError(f"{folder} was measured for other features or methods; measure again into another folder")
    return pa.concat_tables(tables).combine_chunks()


def _drawn(seed: int, index: int, circuits: int) -> Iterator[Drawn]:
    for family in FAMILIES:
        draw = np.random.default_rng([seed, index, *family.encode()])
        for number in range(index * 100, index * 100 + circuits):
            qubits = int(draw.choice(WIDTHS[family])) if family in WIDTHS else None
            if number % _RARE.get(family, 1) == index % _RARE.get(family, 1):
                yield Drawn(family, number, seed, qubits)


def _path(folder: Path, place: Place, seed: int) -> Path:
    return folder / f"{place.name.replace(' ', '_')}-{seed}.parquet"


def _write(path: Path, found: Sequence[Mapping[str, Any]]) -> None:
    partial = path.with_suffix(".partial")
    pq.write_table(pa.Table.from_pylist(list(found), SCHEMA), partial, compression="zstd")
    partial.replace(path)


_TEXT = pa.string()
SCHEMA = pa.schema(
    [
        *((name, _TEXT) for name in ("group", "place", "calibration_id", "family", "circuit_hash")),
        *((name, pa.int32()) for name in ("number", "seed", "qubits", "observable", "budget")),
        ("features", pa.list_(pa.float32())),
        *((f"{kind} {name}", pa.float32()) for kind in ("error", "rmse", "control") for name in AUTOMATIC),
    ],
    metadata={"format": str(FORMAT), "features": json.dumps(list(NAMES)), "methods": json.dumps(list(AUTOMATIC))},
)
