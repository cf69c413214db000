"""The table of backends: adding one is a file (its adapter) and a row here, and its terms in `backends/data/terms.json`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from backends import aer, ibm_fake
from backends.adapter import Backend
from backends.errors import BackendError
from backends.pool import SimulationPool

Connect = Callable[[str, SimulationPool], Backend]

BACKENDS: Mapping[str, Connect] = MappingProxyType(
    {
        "fake_manila": ibm_fake.connect,  # 5 qubits, Falcon r5.11
        "fake_jakarta": ibm_fake.connect,  # 7, Falcon r5.11
        "fake_guadalupe": ibm_fake.connect,  # 16, Falcon r4
        "fake_kolkata": ibm_fake.connect,  # 27, Falcon r5.11
        "fake_brooklyn": ibm_fake.connect,  # 65, Hummingbird r2
        "fake_washington": ibm_fake.connect,  # 127, Eagle r1
        "fake_sherbrooke": ibm_fake.connect,  # 127, Eagle r3
        "aer_ideal": aer.connect,
        "aer_noisy": aer.connect,
    }
)

DEFAULT = tuple(name for name, connect in BACKENDS.items() if connect is ibm_fake.connect)
"""The real devices: an ideal simulator among them would win every job."""


class Fleet(Mapping[str, Backend]):
    """Backends by name, and the processes that their simulations share."""

    def __init__(self, names: Sequence[str], workers: int) -> None:
        unknown = sorted(set(names) - set(BACKENDS))
        if unknown or not names:
            raise BackendError(f"there is no backend {', '.join(unknown) or 'given'}; choose from {', '.join(BACKENDS)}")
        self._pool = SimulationPool(workers)
        self._backends = {name: BACKENDS[name](name, self._pool) for name in names}

    def __getitem__(self, name: str) -> Backend:
        return self._backends[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._backends)

    def __len__(self) -> int:
        return len(self._backends)

    def warm(self) -> None:
        """Starts the processes and lets each compile once for every backend; call it before the first job."""
        self._pool.warm([backend.calibration() for backend in self.values()])

    def close(self) -> None:
        """Ends the processes."""
        self._pool.close()


def load(names: Sequence[str] | None = None, workers: int = 2) -> Fleet:
    """The backends of these names, all real devices by default. Starts no process before `warm` or the first job.

    Raises:
        BackendError: an unknown name.
    """
    return Fleet(DEFAULT if names is None else names, workers)
