"""What a run shall measure, and how it is cut into batches of tasks."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import rfc8785

from em.errors import JobInvalidError
from em.families import FAMILIES, Instance
from em.harness.task import Batch, Task, job_seed
from em.methods import METHODS

CIRCUITS_PER_BATCH = 5
"""Enough to simulate together; what a killed run loses is the batches that were under way."""

MAX_BUDGET = 100_000_000


@dataclass(frozen=True)
class Scope:
    """Families x circuits x methods x budgets x backends.

    Attributes:
        circuits: how many of each family.
        budgets: shots per circuit and group of observables, before a method's overhead.
        seed: of the shots and twirls.
        circuit_seed: of the circuits.
        qubits, depth: of all circuits; None: drawn from the family's own sizes.
    """

    families: tuple[str, ...]
    circuits: int
    methods: tuple[str, ...]
    budgets: tuple[int, ...]
    backends: tuple[str, ...]
    seed: int = 0
    circuit_seed: int = 0
    qubits: int | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        _known("family", self.families, FAMILIES)
        _known("method", self.methods, METHODS)
        if not self.backends:
            raise JobInvalidError("no backend was asked for; name at least one")
        if self.circuits < 1:
            raise JobInvalidError(f"a run needs at least one circuit of each family, got {self.circuits}")
        if self.seed < 0 or self.circuit_seed < 0:
            raise JobInvalidError(f"a seed is a whole number from 0, got {min(self.seed, self.circuit_seed)}")
        for budget in self.budgets or (0,):
            if not 1 <= budget <= MAX_BUDGET:
                raise JobInvalidError(f"a budget is a whole number of shots from 1 to {MAX_BUDGET}, got {budget}")

    @property
    def size(self) -> int:
        """The number of tasks."""
        return len(self.families) * self.circuits * len(self.methods) * len(self.budgets) * len(self.backends)

    def draws(self) -> Iterator[tuple[str, range]]:
        """(family, numbers of circuits) of each batch."""
        for family in self.families:
            for start in range(0, self.circuits, CIRCUITS_PER_BATCH):
                yield family, range(start, min(start + CIRCUITS_PER_BATCH, self.circuits))

    def draw(self, family: str, numbers: Collection[int]) -> list[tuple[int, Instance]]:
        """Those circuits.

        Raises:
            JobInvalidError: a size that the family does not have.
        """
        found = FAMILIES[family]
        return [(number, found.instance(number, self.circuit_seed, self.qubits, self.depth)) for number in numbers]


def tasks(scope: Scope, drawn: Sequence[tuple[int, Instance]], calibrations: Mapping[str, str]) -> tuple[Task, ...]:
    """The tasks on some circuits, each once: small families draw the same circuit again.

    Args:
        scope: the run.
        drawn: circuits of one family with their numbers.
        calibrations: backend -> calibration_id.
    """
    found: dict[str, Task] = {}
    methods = [(name, METHODS[name].version, rfc8785.dumps(METHODS[name].parameters({})).decode()) for name in scope.methods]
    for (number, instance), backend in product(drawn, scope.backends):
        seed = job_seed(scope.seed, instance.circuit_hash, backend)
        for (method, version, parameters), budget in product(methods, scope.budgets):
            place = (instance.family, number, instance.circuit_hash, backend, calibrations[backend])
            task = Task(*place, method, version, parameters, budget, seed)
            found.setdefault(task.task_id, task)
    return tuple(found.values())


def batch(
    scope: Scope, drawn: Sequence[tuple[int, Instance]], calibrations: Mapping[str, str], done: Collection[str]
) -> Batch | None:
    """The tasks on these circuits that are not done; None if all are.

    Args:
        scope, drawn, calibrations: see `tasks`.
        done: ids of tasks.
    """
    left = tuple(task for task in tasks(scope, drawn, calibrations) if task.task_id not in done)
    wanted = {task.circuit_hash for task in left}
    circuits = {instance.circuit_hash: instance for _, instance in drawn if instance.circuit_hash in wanted}
    return Batch(drawn[0][1].family, scope.circuit_seed, circuits, left) if left else None


def shares(job: Batch, hardware: Collection[str]) -> Iterator[Batch]:
    """The tasks that are simulated, as one batch; then those of each of the backends that run their own, circuit by circuit."""
    groups: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in job.tasks:
        groups[(task.backend, task.circuit_hash) if task.backend in hardware else ("", "")].append(task)
    for _, some in sorted(groups.items()):
        wanted = {task.circuit_hash for task in some}
        circuits = {name: instance for name, instance in job.circuits.items() if name in wanted}
        yield Batch(job.family, job.circuit_seed, circuits, tuple(some))


def by_backend(tasks: Sequence[Task]) -> Mapping[str, list[Task]]:
    """Backend -> its tasks."""
    grouped = defaultdict(list)
    for task in tasks:
        grouped[task.backend].append(task)
    return grouped


def _known(kind: str, names: Sequence[str], table: Collection[str]) -> None:
    unknown = sorted(set(names) - set(table))
    if unknown or not names:
        raise JobInvalidError(f"there is no {kind} {', '.join(unknown) or 'given'}; choose from {', '.join(table)}")
