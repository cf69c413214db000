"""An observable on a device as the policy sees it, for rows to learn from: the same features that a live job has."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from backends.device import Device
from em.methods import METHODS
from policy.choice import AUTOMATIC
from policy.closed_form import noise, predict
from policy.demand import Demand
from policy.device import Device as Outline
from policy.errors import RegionError
from policy.features import table
from policy.placement import placed
from policy.prior import prior
from schemas.jobs import JobRequested, Observable

_SCALES = {name: (1.0, 3.0, 5.0) if METHODS[name].extrapolation else (1.0,) for name in AUTOMATIC}


class Seen:
    """An observable on a device as the policy sees it; the parts that no budget changes are found once."""

    def __init__(self, device: Device, outline: Outline, source: str, observable: Observable) -> None:
        """Raises:
        BackendError, InputError: the circuit does not fit the device.
        """
        self.demand = Demand.of(JobRequested(job_id="example", circuits=(source,), observables=(observable,)))
        self.place = placed(device, source, observable)
        try:
            self.rough = noise(self.demand.target, self.demand.hardest, outline.region(self.demand.width))
        except RegionError:
            self.rough = self.place.noise

    def features(self, shots: Mapping[str, int]) -> NDArray[np.float32]:
        """(methods, features)."""
        demand, runs = self.demand, np.array([shots[name] for name in AUTOMATIC], dtype=np.float64)
        known = prior(demand.target, [self.place], AUTOMATIC, runs)
        found = table(demand.target, demand.hardest, [self.place], methods=AUTOMATIC, shots=runs, seen=known)
        return np.asarray(found[0])

    def control(self, shots: Mapping[str, int]) -> list[float]:
        """What the closed form predicts of each method."""
        target = self.demand.target
        return [predict(self.rough, target, METHODS[name], _SCALES[name], shots[name]).error for name in AUTOMATIC]
