"""How long something takes, as a person says it."""

_UNITS = (("years", 365.25 * 86_400.0), ("days", 86_400.0), ("h", 3600.0), ("min", 60.0))
_MOST_YEARS = 1000.0


def spoken(seconds: float) -> str:
    """A duration >= 0 in the largest unit of which it has one: `12 s`, `1.5 h`, `6.91 years`."""
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= size), ("s", 1.0))
    return f"over {_MOST_YEARS:g} years" if seconds > _MOST_YEARS * _UNITS[0][1] else f"{seconds / size:.4g} {unit}"
