"""Devices to learn from and to be judged on: IBM's snapshots, drifted ones, and a real device day by day; names make them again."""

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from backends import ibm_fake
from backends.calibration import from_properties
from backends.device import Device
from backends.terms import terms_of
from em.learned.devices import drifted, snapshot
from policy.errors import PolicyError
from schemas.calibration import CalibrationUpdated

_SMALL = ("lima", "quito", "belem", "bogota", "santiago", "athens", "oslo", "lagos", "casablanca", "montreal", "mumbai", "toronto")

DEVICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fit": (*_SMALL, "brisbane", "kyoto", "cusco", "torino"),
        "conformal": ("nairobi", "vigo", "sydney", "auckland", "geneva", "rome", "osaka"),
        "unseen": ("jakarta", "manila", "guadalupe", "kolkata", "hanoi", "washington", "sherbrooke"),
    }
)
"""What forests are fitted to, what intervals and confidences are calibrated on, what neither has seen."""

DRIFTS: Mapping[str, int] = MappingProxyType({"fit": 4, "conformal": 3, "unseen": 3})
"""Calibrations of each device, the snapshot itself among them; `em.learned.devices.DRIFT` says how they differ."""

DAILY, _LATE = "perth", 2 / 3
"""The device whose days are known, and the part of them that may be learned from: the first."""

_DRIFTS_APART = 1000  # so that no other model's drifted devices are ours


@dataclass(frozen=True, slots=True)
class Place:
    """A device with a calibration.

    Attributes:
        group: `fit`, `conformal`, `unseen`, `early` or `late` (days).
        device: IBM's name.
        drift: 0 for the snapshot as it is.
        day: of the daily properties, or empty.
    """

    group: str
    device: str
    drift: int = 0
    day: str = ""

    @property
    def name(self) -> str:
        """`fake_jakarta`, `fake_jakarta~2`, `ibm_perth 2023-01-05`."""
        if self.day:
            return f"ibm_{self.device} {self.day}"
        return f"fake_{self.device}" + (f"~{self.drift}" if self.drift else "")

    def calibration(self, days: Path | None) -> CalibrationUpdated:
        """What is published of it.

        Raises:
            PolicyError: no such day in `days`.
        """
        if self.day:
            return _daily(days, self.day)
        plain = snapshot(self.device)
        return drifted(plain, _DRIFTS_APART + self.drift) if self.drift else plain


def places(days: Path | None) -> list[Place]:
    """All of them; with the days of a folder or archive of daily properties, every fourth one."""
    found = [Place(group, device, drift) for group, names in DEVICES.items() for device in names for drift in range(DRIFTS[group])]
    if days is not None:
        every = list(_files(days))[::4]
        found += [Place("early" if index < _LATE * len(every) else "late", DAILY, day=day) for index, day in enumerate(every)]
    return found


@lru_cache(maxsize=4)
def made(place: Place, days: Path | None) -> Device:
    """The device of a place, with what it has compiled."""
    return Device(place.calibration(days))


def _daily(days: Path | None, day: str) -> CalibrationUpdated:
    if days is None or day not in _files(days):
        raise PolicyError(f"there are no properties of {day} in {days}; name the folder or archive of daily properties with --days")
    name, configuration = f"fake_{DAILY}", ibm_fake.shipped(DAILY, "conf")
    return from_properties(name, ibm_fake.PROVIDER, _files(days)[day], configuration, terms_of("fake_jakarta"))


@lru_cache(maxsize=1)
def _files(days: Path) -> dict[str, dict[str, Any]]:
    """Day -> properties, in order.

    Raises:
        PolicyError: none there.
    """
    found = {Path(name).name[:10]: json.loads(text) for name, text in sorted(_texts(days))}
    if not found:
        raise PolicyError(f"there are no daily properties (*.json) in {days}")
    return found


def _texts(days: Path) -> Iterator[tuple[str, bytes]]:
    if days.is_dir():
        yield from ((str(path), path.read_bytes()) for path in days.glob("**/*.json"))
        return
    try:
        with tarfile.open(days) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name.endswith(".json") else None
                if content is not None:
                    yield member.name, content.read()
    except (OSError, tarfile.TarError) as error:
        raise PolicyError(f"{days} is neither a folder nor an archive of daily properties: {error}") from error
