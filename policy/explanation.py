"""Which features move a choice: each in turn is made typical, and the chosen method's lead over the next one is watched."""

from dataclasses import dataclass

import numpy as np

from policy.demand import Demand
from policy.fallback import Fallback
from policy.features import NAMES, PLACE
from policy.learned import Learned
from schemas.calibration import CalibrationUpdated
from schemas.jobs import JobRequested


@dataclass(frozen=True, slots=True)
class Moved:
    """A feature's part in a choice.

    Attributes:
        feature: its name.
        value, typical: here, and on average where the model learned.
        effect: by how much the lead of the best method over the second grows because of it, as a part of the error.
    """

    feature: str
    value: float
    typical: float
    effect: float


def moved(model: Learned | Fallback, job: JobRequested, calibration: CalibrationUpdated) -> list[Moved]:
    """The features of a job on a device, those that move the choice the most first; none where the model is not asked."""
    if isinstance(model, Fallback):
        return []
    demand = Demand.of(job)
    features = model.features(job, demand, calibration)
    if features is None:
        return []
    typical = dict(zip(PLACE, model.model.reference.mean.tolist(), strict=True))
    changed = np.repeat(features[None], len(PLACE) + 1, axis=0)
    for index, column in enumerate(PLACE):
        changed[index + 1, :, column] = typical[column]
    errors = model.model.predict(changed).errors
    first, second = np.argsort(errors[0])[:2]
    leads = np.log(errors[:, second] / errors[:, first])
    found = [
        Moved(NAMES[column], float(features[0, column]), typical[column], float(np.expm1(leads[0] - leads[index + 1])))
        for index, column in enumerate(PLACE)
    ]
    return sorted(found, key=lambda each: -abs(each.effect))
