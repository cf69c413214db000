"""Results in a few figures: accuracy, its control and its price, by family and method.

Errors are |estimate - ideal| in units of the observable's bound, so that energies and parities can be averaged. The control of each
figure is the method `raw` on the same circuits, devices, budgets and seeds; where that was not measured, what the method's own runs
say without mitigation, if any of them is unmitigated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONTROL = "raw"
"""The method that every other is compared with."""


@dataclass(frozen=True, slots=True)
class Line:
    """A method on some circuits.

    Attributes:
        key: what the line stands for: values of the columns that were asked for.
        values: estimates behind the figures.
        abstained: estimates that the method declined to give, or left to the one that stands in.
        error, rmse: mean and root mean square of |estimate - ideal| / bound; NaN without values.
        raw_error: the mean |error| of the control; NaN where none was measured.
        covered: fraction of values within two standard errors of the ideal.
        shots: mean per task.
        cost_usd: mean per task.
    """

    key: tuple[Any, ...]
    values: int
    abstained: int
    error: float
    rmse: float
    raw_error: float
    covered: float
    shots: float
    cost_usd: float

    @property
    def gain(self) -> float:
        """How many times smaller the error is than without mitigation."""
        return self.raw_error / self.error if self.error else float("inf")


def said(value: float, how: str) -> str:
    """A figure formatted, empty where there is none."""
    return "" if np.isnan(value) else format(value, how)


def lines(rows: pa.Table, by: Sequence[str] = ("family", "method")) -> list[Line]:
    """One line for each combination of the columns `by`, sorted.

    Args:
        rows: of `Store.read`.
        by: columns.
    """
    return [_line(key, part) for key, part in _groups(_controlled(rows), by)]


def alike(rows: pa.Table) -> list[tuple[str, list[str]]]:
    """(family, methods that were measured on the same circuits, devices and budgets): only these can be ranked; sorted."""
    places = zip(*(rows[name].to_pylist() for name in ("circuit_hash", "backend", "budget")), strict=True)
    cells: dict[tuple[str, str], set[tuple[Any, ...]]] = {}
    for family, method, place in zip(rows["family"].to_pylist(), rows["method"].to_pylist(), places, strict=True):
        cells.setdefault((family, method), set()).add(place)
    groups: dict[tuple[str, frozenset[tuple[Any, ...]]], list[str]] = {}
    for family, method in sorted(cells):
        groups.setdefault((family, frozenset(cells[family, method])), []).append(method)
    return sorted(((family, methods) for (family, _), methods in groups.items()), key=lambda group: (group[0], -len(group[1])))


def normalised(rows: pa.Table) -> tuple[Floats, Floats, Floats]:
    """(estimate - ideal), (raw - ideal) and the standard error, each / bound; NaN where the method abstained."""
    columns = {name: rows[name].to_numpy().astype(float) for name in ("estimate", "raw", "ideal", "standard_error", "bound")}
    bound = columns["bound"]
    return (
        (columns["estimate"] - columns["ideal"]) / bound,
        (columns["raw"] - columns["ideal"]) / bound,
        columns["standard_error"] / bound,
    )


def _controlled(rows: pa.Table) -> pa.Table:
    """The rows with the estimates of the method `raw` as their raw values, where there are such."""
    cells = list(
        zip(*(rows[name].to_pylist() for name in ("circuit_hash", "backend", "budget", "seed", "observable")), strict=True)
    )
    triples = zip(cells, rows["method"].to_pylist(), rows["estimate"].to_pylist(), strict=True)
    control = {cell: estimate for cell, method, estimate in triples if method == CONTROL}
    values = [control.get(cell, own) for cell, own in zip(cells, rows["raw"].to_pylist(), strict=True)]
    return rows.set_column(rows.column_names.index("raw"), "raw", pa.array(values, pa.float64()))


def _groups(rows: pa.Table, by: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pa.Table]]:
    if not len(rows):
        return
    codes = np.stack([rows[name].combine_chunks().dictionary_encode().indices.to_numpy() for name in by])
    _, firsts, group = np.unique(codes, axis=1, return_index=True, return_inverse=True)
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    keys = [tuple(rows[name][first].as_py() for name in by) for first in firsts.tolist()]
    for place in sorted(range(len(keys)), key=keys.__getitem__):
        yield keys[place], rows.take(pa.array(members[place]))


def _line(key: tuple[Any, ...], rows: pa.Table) -> Line:
    error, raw, claimed = normalised(rows)
    given = ~np.isnan(error)
    prices = zip(rows["shots"].to_pylist(), rows["cost_usd"].to_pylist(), strict=True)
    tasks = dict(zip(rows["task_id"].to_pylist(), prices, strict=True))
    shots, cost = np.array(list(tasks.values()), dtype=float).mean(axis=0)
    sizes = np.abs(error[given])
    nothing = float("nan")
    return Line(
        key,
        int(given.sum()),
        int(rows["abstained"].to_numpy(zero_copy_only=False).sum()),
        float(sizes.mean()) if given.any() else nothing,
        float(np.sqrt(np.mean(sizes**2))) if given.any() else nothing,
        float(np.abs(raw[given]).mean()) if given.any() else nothing,  # NaN where one is missing
        float(np.mean(sizes <= 2 * claimed[given])) if given.any() else nothing,
        float(shots),
        float(cost),
    )
