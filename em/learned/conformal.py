"""Split conformal intervals: whatever the model, new cases that are exchangeable with the calibration cases are covered.

Vovk, Gammerman, Shafer 2005; the finite-sample quantile of Lei et al. 2018 (arXiv:1604.04173, theorem 2.2).
"""

from math import ceil

import numpy as np

from em.learned.features import Floats


def quantile(scores: Floats, coverage: float) -> float:
    """The score that a new case exceeds with probability at most 1 - `coverage`; infinite where there are too few cases.

    Args:
        scores: (cases,) of calibration cases that no model was fitted to.
        coverage: between 0 and 1.
    """
    rank = ceil((len(scores) + 1) * coverage)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else float("inf")
