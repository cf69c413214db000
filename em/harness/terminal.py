"""Results as text: a bar for each method, for terminals."""

from collections.abc import Sequence

from em.harness.summary import Line

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(value: float, largest: float, width: int) -> str:
    """A bar of `width` characters for the largest value."""
    eighths = round(8 * width * value / largest) if largest > 0 else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def chart(lines: Sequence[Line], width: int = 40) -> list[tuple[str, str, str]]:
    """(name, bar, error) for each line of one family, the best first; lines without values are left out."""
    drawn = sorted((line for line in lines if line.values), key=lambda line: line.error)
    largest = max((line.error for line in drawn), default=0.0)
    return [(str(line.key[-1]), bar(line.error, largest, width), f"{line.error:.4f}") for line in drawn]
