"""Parameters of methods: read, and refused in one sentence where they are out of range."""

from collections.abc import Collection

from em.errors import JobInvalidError
from schemas.mitigation import Parameters


def whole(parameters: Parameters, name: str, least: int, most: int) -> int:
    """A whole number.

    Raises:
        JobInvalidError: it is none, or out of range.
    """
    value = parameters[name]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise JobInvalidError(f"{name} must be a whole number from {least} to {most}, got {value!r}")
    return value


def number(parameters: Parameters, name: str, least: float, most: float) -> float:
    """A number.

    Raises:
        JobInvalidError: it is none, or out of range.
    """
    value = parameters[name]
    if isinstance(value, (str, list, bool)) or not least <= value <= most:
        raise JobInvalidError(f"{name} must be a number from {least:g} to {most:g}, got {value!r}")
    return float(value)


def choice(parameters: Parameters, name: str, known: Collection[str]) -> str:
    """One of some words.

    Raises:
        JobInvalidError: it is another.
    """
    value = parameters[name]
    if not isinstance(value, str) or value not in known:
        raise JobInvalidError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value
