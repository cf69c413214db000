"""What the policy counts, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

DECISIONS = Counter("quantumai_policy_decisions", "Jobs that were advised, by what advised", ["model"])
SECONDS = Histogram(
    "quantumai_policy_decision_seconds",
    "From a job to its advice",
    buckets=(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
)
CONFIDENCE = Histogram(
    "quantumai_policy_confidence",
    "Chance that a pick is within 10 % of the best, by candidate",
    buckets=[tenth / 10 for tenth in range(1, 11)],
)
FALLBACKS = Counter("quantumai_policy_fallbacks", "Candidates that the closed form judged, by why", ["reason"])
DRIFT = Gauge("quantumai_policy_drift", "Achieved / predicted error of a backend's runs, geometric mean", ["backend"])
