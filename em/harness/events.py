"""Results as `em.measured` events, one for each task and observable that has an estimate."""

import json
from collections.abc import Iterator

import pyarrow as pa

from schemas.mitigation import EmMeasured

_SAME = (
    "family",
    "method",
    "method_version",
    "backend",
    "calibration_id",
    "circuit_hash",
    "qubits",
    "depth",
    "two_qubit_gates",
    "shots",
    "ideal",
    "standard_error",
    "cost_usd",
    "seed",
    "git_commit",
    "task_id",
    "observable",
    "bound",
    "budget",
    "engine",
    "approximate",
)


def events(rows: pa.Table) -> Iterator[EmMeasured]:
    """The events of some rows of a store."""
    for some in rows.to_batches(max_chunksize=1000):
        for row in some.to_pylist():
            if row["estimate"] is not None:
                yield EmMeasured(
                    **{name: row[name] for name in _SAME},
                    subject=f"{row['family']}/{row['method']}",
                    parameters=json.loads(row["parameters"]),
                    value=row["estimate"],
                    raw_value=row["raw"],
                    software=json.loads(row["software"]),
                    measured_at=row["finished_at"],
                )
