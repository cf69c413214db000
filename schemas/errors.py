"""What is wrong with an input, as opposed to what is wrong with us."""


class InputError(ValueError):
    """The input itself is at fault: retrying cannot help, the worker dead-letters it at once.

    Every room derives the errors that an input can cause from this class, with a message that says what was
    wrong and what to do.
    """


class OutageError(Exception):
    """Something of ours is out of order, so that no input can be handled: the worker leaves instead of blaming its inputs."""


class UndecodableError(InputError):
    """Bytes that are no event of ours: bad framing, unknown fingerprint, or a body that its schema cannot read."""


class InvalidRecordError(InputError):
    """Well-formed Avro whose values the model refuses (NaN, out of range, a missing key)."""
