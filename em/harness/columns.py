"""The columns of a result: one row per task and observable. Each says what it is, in the Parquet files, too."""

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa

_TEXT = pa.string()
_TIME = pa.timestamp("us", tz="UTC")

COLUMNS: Mapping[str, tuple[pa.DataType, str]] = MappingProxyType(
    {
        "task_id": (_TEXT, "SHA-256 of all that the result depends on"),
        "circuit": (pa.int32(), "number of the circuit in its family"),
        "circuit_seed": (pa.int64(), "seed that the family's circuits were drawn with"),
        "circuit_hash": (_TEXT, "SHA-256 of circuit and observables"),
        "qubits": (pa.int16(), "of the circuit"),
        "depth": (pa.int16(), "of the circuit, in the family's unit"),
        "two_qubit_gates": (pa.int32(), "of the circuit before compilation"),
        "backend": (_TEXT, "device"),
        "calibration_id": (_TEXT, "snapshot of the device, SHA-256 of its content"),
        "method": (_TEXT, "mitigation method"),
        "method_version": (_TEXT, "its version"),
        "parameters": (_TEXT, "its parameters, JSON"),
        "budget": (pa.int64(), "shots per group of observables before the method's overhead"),
        "seed": (pa.int64(), "the job's seed, from which all random draws follow"),
        "observable": (_TEXT, "name of the observable"),
        "bound": (pa.float64(), "sum of the observable's |coefficients|: errors are compared in units of it"),
        "ideal": (pa.float64(), "exact value without noise"),
        "raw": (pa.float64(), "what the same run says without mitigation"),
        "estimate": (pa.float64(), "mitigated value; null where the method abstained or failed"),
        "standard_error": (pa.float64(), "one standard deviation of the estimate"),
        "abstained": (pa.bool_(), "the method saw that its counts allow no estimate, or that it does not know such circuits"),
        "note": (_TEXT, "what the method did otherwise than asked, or why it abstained"),
        "error": (_TEXT, "why the task failed; null where it did not"),
        "shots": (pa.int64(), "all shots spent, calibration and training included"),
        "executions": (pa.int32(), "circuits sent to the device"),
        "device_seconds": (pa.float64(), "time on the device"),
        "cost_usd": (pa.float64(), "by the device's price"),
        "engine": (_TEXT, "what simulated; the provider of a backend that ran the task itself"),
        "vendor_job_id": (_TEXT, "the backend's own name for the job; null where it was simulated here"),
        "approximate": (pa.bool_(), "the engine drops what is not Pauli noise"),
        "started_at": (_TIME, "when the task's batch was begun"),
        "finished_at": (_TIME, "when the task was over"),
        "compute_seconds": (pa.float64(), "spent on sampling and combining this task; simulations are shared"),
        "git_commit": (_TEXT, "the code that ran; + and a hash where files differed from the commit"),
        "software": (_TEXT, "package to version, JSON"),
    }
)

SCHEMA = pa.schema([pa.field(name, kind, metadata={"about": about}) for name, (kind, about) in COLUMNS.items()])
