"""What can go wrong in error mitigation."""

from schemas.errors import InputError


class EmError(Exception):
    """Error mitigation failed."""


class MitigationFailedError(EmError):
    """The counts do not allow an estimate: a readout without information, for instance."""


class JobInvalidError(EmError, InputError):
    """The job cannot be run as it is written: a circuit, an observable or a parameter is at fault."""
