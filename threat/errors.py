"""What can go wrong with feeds, models and scores."""

from schemas.errors import InputError


class ThreatError(Exception):
    """The root of this room's errors."""


class LineError(ThreatError, InputError):
    """A line of a feed that cannot become an event; the message says what is wrong with it."""


class FeedError(ThreatError):
    """A feed that cannot be read at all, or not from where it was left."""


class ModelError(ThreatError):
    """A model's file that is missing, broken or of another version than the code."""


class DataError(ThreatError, InputError):
    """Training or test data that are not what they should be."""
