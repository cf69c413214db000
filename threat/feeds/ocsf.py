"""OCSF events of classes 4001 and 3002: already in our form, but for the unit of their times."""

from typing import Any

from threat.errors import LineError
from threat.feeds.table import AUTHENTICATION, NETWORK, Event

MARKS = ("class_uid",)
"""Keys of which every line has one."""

CLASSES = frozenset({NETWORK, AUTHENTICATION})


def event(line: Event) -> tuple[Event, Any]:
    """The event, and its time as it stands there.

    Raises:
        LineError: of another class.
    """
    class_uid = line.get("class_uid")
    if type(class_uid) is not int or class_uid not in CLASSES:
        raise LineError(f"OCSF class {repr(class_uid)[:40]} is neither 4001 (network) nor 3002 (authentication)")
    for part in ("src_endpoint", "dst_endpoint", "traffic", "metadata"):
        if not isinstance(line.get(part, {}), dict):
            raise LineError(f"its {part} is {repr(line[part])[:40]}, which is no object")
    return line, line.get("time", line.get("time_dt"))
