"""What can go wrong with the quantum classifier beside its files."""

from threat.errors import ThreatError


class VqcError(ThreatError):
    """The classifier cannot be made, trained or asked like this."""
