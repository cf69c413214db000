"""A recommendation's reason, in words: which features moved it."""

from collections.abc import Sequence
from dataclasses import replace
from math import log

from policy.choice import Option, largest_error
from policy.closed_form import Noise
from policy.fallback import Fallback
from policy.learned import Judgement
from policy.placement import Placement
from schemas.jobs import Sla

_NEGLIGIBLE = 0.99
_FAINT = 0.05


def reason(chosen: Option, options: Sequence[Option], seen: Noise, sla: Sla) -> str:
    """Two sentences for people: what the noise is, and what that makes of the methods."""
    noise = (
        f"Gates leave {seen.gates:.0%} of the signal ({seen.two_qubit_gates:.0f} two-qubit gates in the light cone with routing), "
        f"readout leaves {seen.readout:.0%}: {_dominant(seen)} dominates."
    )
    choice = f"{chosen.name} should be off by {chosen.error:.3f} of the spectral bound at {chosen.cost.overhead:.1f}x the shots"
    raw = next((option.error for option in options if option.name == "raw"), None)
    if raw is not None and chosen.name != "raw":
        choice += f", raw by {raw:.3f}"
    limit, least = largest_error(sla), min(options, key=lambda option: option.error)
    if limit is not None and chosen.error <= limit and least is not chosen:
        choice += f"; {least.name} would come to {least.error:.3f}, but this is the cheapest that meets the SLA"
    return f"{noise} {choice}."


def trust(judged: Judgement | Fallback, chosen: Option) -> str:
    """How sure the model is, and what the method costs in spread; or why the closed form had to do."""
    if isinstance(judged, Fallback):
        return f"Closed form, since {judged.says}." if judged.says else ""
    clean, noisy = judged.placement.signal.values[:2]
    past = "" if judged.past == 1 else f" Runs here were off by {judged.past:.2f} times what was expected, which is counted in."
    return (
        f"Of a value near {clean:+.2f} the gates should leave {noisy:+.2f}; {judged.overheads[chosen.name]:.1f} shots stand "
        f"for one of raw's. The model is {judged.confidence:.0%} sure that no method is 10 % better than the best it sees.{past}"
    )


def as_followed(place: Placement) -> Noise:
    """The noise of a placement, what gates leave taken from the followed strings where these say it."""
    clean, noisy = place.signal.values[:2]
    if abs(clean) < _FAINT:
        return place.noise
    return replace(place.noise, rate=-log(min(1.0, max(1e-3, noisy / clean))))


def _dominant(seen: Noise) -> str:
    if min(seen.gates, seen.readout) > _NEGLIGIBLE:
        return "shot noise"
    return "gate noise" if seen.gates < seen.readout else "readout noise"
