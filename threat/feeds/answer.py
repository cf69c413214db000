"""What becomes of a line: an event, or a dead letter that holds it. Every line is one or the other."""

from schemas.dead_letter import DeadLetter, Header
from schemas.record import now
from schemas.threats import ThreatObserved
from threat.errors import LineError
from threat.feeds.lines import Line
from threat.feeds.normalise import normalise

FEED_HEADER = "quantumai-feed"
"""Stands on a dead letter that came from a feed and not from a topic; its value names the stream."""


def answer(line: Line, feed: str, path: str, form: str) -> ThreatObserved | DeadLetter:
    """The event of a line, or the dead letter that says why there is none.

    Args:
        line: with its place.
        feed: which stream it is from.
        path: the stream's name, for people.
        form: a format's name, or `auto`.
    """
    try:
        if line.fault is not None:
            raise LineError(line.fault)
        return normalise(line.content, f"{feed}/{line.offset}", form)
    except LineError as error:
        return DeadLetter(
            agent="feed",
            original_topic=path,
            original_partition=line.number,
            original_offset=line.offset,
            original_key=feed.encode(),
            original_value=line.content,
            original_headers=(Header(key=FEED_HEADER, value=feed.encode()),),
            original_timestamp=now(),
            reason=f"{path} line {line.number} (byte {line.offset}): {error}",
            exception="threat.errors.LineError",
            attempts=1,
        )
