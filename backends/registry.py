"""The table of backends: adding one is a file (its adapter) and a row here, and its terms in `backends/data/terms.json`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

from backends import aer, ibm_fake, idle, mock
from backends.adapter import Backend
from backends.errors import BackendError
from backends.local import LocalBackend
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
        "mock": mock.connect,
    }
)


def _ibm(name: str, pool: SimulationPool) -> Backend:
    backend: Backend = import_module("backends.ibm.runtime").connect(name)  # its imports take seconds
    return backend


FAMILIES: Mapping[str, tuple[str, Connect]] = MappingProxyType(
    {
        "idle": ("idle:DEVICE", idle.connect),  # one of the devices above, with noise in its waits
        "ibm": ("ibm:DEVICE", _ibm),  # every device of IBM's cloud that the account can use
        "mock": ("mock:FAULT-N", mock.connect),
    }
)
"""What stands before a colon -> how such names are written, and who connects them: backends too many to be listed."""

DEFAULT = tuple(name for name, connect in BACKENDS.items() if connect is ibm_fake.connect)
"""The real devices: an ideal simulator among them would win every job."""


class Fleet(Mapping[str, Backend]):
    """Backends by name, and the processes that their simulations share."""

    def __init__(self, names: Sequence[str], workers: int) -> None:
        check(names)
        self._pool = SimulationPool(workers)
        self._backends = {name: connect(name, self._pool) for name in names if (connect := _connector(name))}

    def __getitem__(self, name: str) -> Backend:
        return self._backends[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._backends)

    def __len__(self) -> int:
        return len(self._backends)

    def warm(self) -> None:
        """Starts the processes and lets each compile once for every backend that they simulate; call it before the first job."""
        simulated = [backend.calibration() for backend in self.values() if isinstance(backend, LocalBackend)]
        if simulated:
            self._pool.warm(simulated)

    def close(self) -> None:
        """Ends the processes."""
        self._pool.close()


def check(names: Sequence[str]) -> None:
    """Refuses names that no row has, before anything is connected.

    Raises:
        BackendError: which, and what there is.
    """
    unknown = sorted(name for name in names if _connector(name) is None)
    if unknown or not names:
        known = [*BACKENDS, *(written for written, _ in FAMILIES.values())]
        raise BackendError(f"there is no backend {', '.join(unknown) or 'given'}; choose from {', '.join(known)}")


def _connector(name: str) -> Connect | None:
    family, colon, rest = name.partition(":")
    return FAMILIES[family][1] if colon and rest and family in FAMILIES else BACKENDS.get(name)


def load(names: Sequence[str] | None = None, workers: int = 2) -> Fleet:
    """The backends of these names, all real devices by default. Starts no process before `warm` or the first job.

    Raises:
        BackendError: an unknown name, or one that cannot be connected: why, in a sentence.
    """
    return Fleet(DEFAULT if names is None else names, workers)
