"""What can go wrong at a backend, and whether trying again can help."""

from schemas.errors import InputError


class BackendError(Exception):
    """A backend failed or is unknown. Unless it is a `WorkRefusedError`, the same work may succeed at another try."""


class WorkRefusedError(BackendError, InputError):
    """The work itself cannot be run: trying again, here or after a restart, cannot help."""


class QasmError(WorkRefusedError):
    """An OpenQASM 3 source that does not parse, is too large, or asks for what no backend here can do."""
