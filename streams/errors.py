"""What can go wrong between us and Kafka, in sentences that say what to do."""

from schemas.errors import InputError


class StreamsError(Exception):
    """The root of this room's errors."""


class DeclarationError(StreamsError):
    """An agent's declaration contradicts itself."""


class SettingsError(StreamsError):
    """A setting that would lose or double events, or that cannot work."""


class BrokerUnavailableError(StreamsError):
    """No broker answers."""


class TopicMismatchError(StreamsError):
    """A topic is missing, or exists with other settings than the table of topics says."""


class EventTooLargeError(StreamsError, InputError):
    """An event over its topic's limit, refused before it is sent; whoever makes it from an input cannot make it smaller."""


class BrokerError(StreamsError):
    """The local broker cannot start or went away; the message says what to do."""


class PlatformError(StreamsError):
    """The local platform cannot start or stop."""
