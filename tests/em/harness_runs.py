"""Small scopes, and batches measured in this process."""

from pathlib import Path

from backends import registry
from em.harness.measure import measure
from em.harness.plan import Scope, batch
from em.harness.store import FAILED, RESULTS, Store
from em.methods import mitigated
from schemas.calibration import CalibrationUpdated
from schemas.codec import encode


def snapshots(*names: str) -> dict[str, CalibrationUpdated]:
    return {name: backend.calibration() for name, backend in registry.load(names).items()}


def measured(scope: Scope, root: Path) -> Store:
    """Measures a scope without other processes; nothing is remembered of code that a test has changed since."""
    mitigated._laid_out.cache_clear()
    store, calibrations = Store(root), snapshots(*scope.backends)
    encoded = {name: encode(calibration) for name, calibration in calibrations.items()}
    with store.writing(lambda: None):
        claimed = store.done()
        for draw in scope.draws():
            job = batch(scope, scope.draw(*draw), {name: each.calibration_id for name, each in calibrations.items()}, claimed)
            if job is not None:
                claimed.update(task.task_id for task in job.tasks)
                found = measure(job, encoded)
                for kind, rows in ((RESULTS, found.results), (FAILED, found.failed)):
                    if len(rows):
                        store.write(kind, job.family, job.name, rows)
    return store
