"""A real device day after day: measured on, never learned from. The files are the user's; none comes with this package."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from backends import ibm_fake
from backends.calibration import from_properties
from backends.device import Device
from backends.errors import WorkRefusedError
from backends.terms import terms_of
from em.errors import EmError
from em.families import Instance
from em.learned.cases import SETTINGS, Case
from em.learned.devices import Twirled
from em.planning import TRANSPILER_SEED

DEVICE = "perth"
MEASURED = ("random + readout", "ising + readout", "vqe")


@dataclass(frozen=True, slots=True)
class Day:
    """The device under the properties in a file, as IBM's service gives them."""

    path: Path

    @lru_cache(maxsize=64)  # noqa: B019 - few, and equal ones are the same device
    def device(self) -> Device:
        """The device; kept, with what it has compiled."""
        properties, configuration = json.loads(self.path.read_text()), ibm_fake.shipped(DEVICE, "conf")
        name = f"fake_{DEVICE}"
        return Device(from_properties(name, ibm_fake.PROVIDER, properties, configuration, terms_of("fake_jakarta")))

    def twirled(self) -> Device:
        """The device as it is on average over twirls."""
        return Twirled(self.device())


def days(folder: Path, circuits: range, seed: int, shots: int) -> Iterator[Case]:
    """These circuits of each of `MEASURED`, each on a day of its own, evenly over the files of the folder.

    Raises:
        EmError: no files in the folder.
    """
    files = sorted(folder.glob("**/*.json"))
    if not files:
        raise EmError(f"there are no daily properties (*.json) in {folder}")
    for number in circuits:
        for order, name in enumerate(MEASURED):
            instance = SETTINGS[name].draw(number, seed)
            day = _day(files, (number - circuits.start) * len(files) // len(circuits), instance)
            yield Case(f"{name}, real drift", instance, day, shots, len(MEASURED) * number + order)


def _day(files: Sequence[Path], first: int, instance: Instance) -> Day:
    """The first day from `first` on, then from the beginning, on which the device has enough qubits and couplings that work.

    Raises:
        EmError: there is none.
    """
    for path in (*files[first:], *files[:first]):
        try:
            Day(path).device().compile(instance.source, TRANSPILER_SEED, 2)
        except WorkRefusedError:
            continue
        return Day(path)
    raise EmError(f"on no day of {files[0].parent} could the device run {instance.qubits} qubits")
