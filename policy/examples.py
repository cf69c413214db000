"""A data set as models see it: features, true errors, and what the control predicts."""

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from policy.choice import AUTOMATIC
from policy.features import NAMES
from policy.prior import folded

Floats = NDArray[np.float64]

_LEAST = 1e-9


@dataclass(frozen=True)
class Examples:
    """Observables on devices at budgets; methods as in `AUTOMATIC`.

    Attributes:
        features: (examples, methods, features).
        errors, rmse: (examples, methods): mean |error| and root mean square error, in units of the observable's bound.
        control: (examples, methods): what `policy.closed_form` predicts.
        family, group, place: (examples,) words.
        budget: (examples,) shots in all.
    """

    features: NDArray[np.float32]
    errors: Floats
    rmse: Floats
    control: Floats
    family: NDArray[np.str_]
    group: NDArray[np.str_]
    place: NDArray[np.str_]
    budget: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.errors)

    def where(self, which: NDArray[np.bool_]) -> "Examples":
        """Some of them."""
        return Examples(*(getattr(self, each.name)[which] for each in fields(self)))

    @property
    def bias(self) -> Floats:
        """(examples, methods): of the normal distribution that has both errors."""
        return np.asarray(self.rmse * np.cos(self._angle))

    @property
    def deviation(self) -> Floats:
        """(examples, methods): its standard deviation."""
        return np.asarray(self.rmse * np.sin(self._angle))

    @property
    def overheads(self) -> Floats:
        """(examples, methods): variance x shots / that of raw, all shots counted: budgets are equal."""
        deviation = np.maximum(self.deviation, _LEAST)
        return np.asarray(np.square(deviation / deviation[:, AUTOMATIC.index("raw"), None]))

    @property
    def _angle(self) -> Floats:
        """arctan(deviation / bias) of a folded normal distribution, from mean / root mean square."""
        angles = np.linspace(0.0, np.pi / 2, 512)
        ratios = folded(np.cos(angles), np.sin(angles))
        return np.asarray(np.interp(-self.errors / np.maximum(self.rmse, _LEAST), -ratios, angles))


def examples(rows: pa.Table) -> Examples:
    """The rows of a data set (`policy.dataset`)."""
    flat = rows["features"].combine_chunks().flatten().to_numpy()
    errors, rmse, control = (
        np.column_stack([rows[f"{kind} {name}"].to_numpy() for name in AUTOMATIC]).astype(float)
        for kind in ("error", "rmse", "control")
    )
    family, group, place = (np.array(rows[name].to_pylist()) for name in ("family", "group", "place"))
    budget = rows["budget"].to_numpy().astype(np.int64)
    return Examples(flat.reshape(len(rows), len(AUTOMATIC), len(NAMES)), errors, rmse, control, family, group, place, budget)
