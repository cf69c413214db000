"""What is unlike normal connections, in two views: far from any of them, or far from those of its own service."""

import numpy as np
from sklearn.neighbors import NearestNeighbors  # type: ignore[import-untyped]

from threat.triage.nslkdd import Connections, Floats, Vocabulary

NEIGHBOURS = 5
KEPT = 6000
"""Normal connections that are searched for neighbours."""

_SPREAD = 0.05  # added to standard deviations: a column that never varies must not decide everything
_CLIP = 20.0
_MEAN_PRIOR, _COVARIANCE_PRIOR = 20.0, 60.0  # connections of all services that each service starts with
_CHUNK = 1000


def neighbours(fit: Connections, score: Connections, seed: int) -> Floats:
    """The distance to the fifth nearest normal connection, over standardised numbers and known words."""
    words, normal = Vocabulary(fit.words), fit.take(~fit.attack)

    def table(events: Connections) -> Floats:
        return np.column_stack([events.numbers, words.indicators(events.words)])

    known = table(normal)
    mean, scale = known.mean(0), known.std(0) + _SPREAD
    kept = np.random.default_rng(seed).permutation(len(known))[:KEPT]

    def standardised(rows: Floats) -> Floats:
        return np.asarray(np.clip((rows - mean) / scale, -_CLIP, _CLIP))

    search = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(standardised(known[kept]))
    wanted = standardised(table(score))
    parts = [search.kneighbors(wanted[start : start + _CHUNK])[0][:, -1] for start in range(0, len(wanted), _CHUNK)]
    return np.concatenate(parts)


def of_service(fit: Connections, score: Connections) -> Floats:
    """Twice the negative log density under a normal distribution of the service's normal connections (Mahalanobis 1936).

    A service with few of them leans on those of all services.
    """
    normal = fit.take(~fit.attack)
    mean, scale = normal.numbers.mean(0), normal.numbers.std(0) + _SPREAD
    known, wanted = (normal.numbers - mean) / scale, (score.numbers - mean) / scale
    whole = np.cov(known.T) + 0.1 * np.eye(known.shape[1])
    found = np.empty(len(wanted))
    for service in np.unique(score.words[:, 1]):
        own, rows = known[normal.words[:, 1] == service], score.words[:, 1] == service
        centre = (own.sum(0) + _MEAN_PRIOR * known.mean(0)) / (len(own) + _MEAN_PRIOR)
        count = len(own) if len(own) > 2 else 0
        spread = np.cov(own.T) * count if count else 0.0
        covariance = (spread + _COVARIANCE_PRIOR * whole) / (count + _COVARIANCE_PRIOR) + 0.02 * np.eye(len(whole))
        away = wanted[rows] - centre
        found[rows] = np.einsum("ij,ij->i", away @ np.linalg.inv(covariance), away) + np.linalg.slogdet(covariance)[1]
    return found
