"""What can go wrong in the policy. A bad job is no exception here: it is told in `EmRecommended.problems`."""


class PolicyError(Exception):
    """The root of this room's errors."""


class RegionError(PolicyError):
    """A backend has no connected set of working qubits that is large enough."""


class UnknownPolicyError(PolicyError):
    """A policy that does not exist."""


class ModelError(PolicyError):
    """A model cannot be used; a sentence. Whoever recommends falls back to the closed form, and says so."""
