"""What can go wrong at the door, in sentences that say what to do."""

# ruff: noqa: N818 - a class is named for what broke

from schemas.errors import InputError, OutageError


class ApiError(Exception):
    """The root of this room's errors."""


class RolesUndeclared(ApiError):
    """An endpoint does not say who may call it."""


class ClientsUnreadable(ApiError, OutageError):
    """The file that says which client certificates have which roles cannot be read, or is malformed."""


class KeysUnreadable(ApiError, OutageError):
    """The keys that bearer tokens are verified with cannot be read."""


class TokenRefused(ApiError):
    """A bearer token is no proof of who calls."""


class TokenImpossible(ApiError):
    """A bearer token that cannot be issued."""


class ReservedUse(ApiError, InputError):
    """A key that signs one kind of thing only was asked to sign bytes of a caller's."""


class ManifestUnusable(ApiError, InputError):
    """A statement of which no manifest can be made."""


class CursorUnusable(ApiError, InputError):
    """A place in the audit where no entry begins."""


class ServingImpossible(ApiError):
    """A service cannot serve as it was asked to."""
