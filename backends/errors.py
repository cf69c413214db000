"""What can go wrong at a backend, and whether trying again can help."""

from schemas.errors import InputError


class BackendError(Exception):
    """A backend failed or is unknown. Unless it is a `WorkRefusedError`, the same work may succeed at another try."""


class BackendBusyError(BackendError):
    """A backend that takes no requests for a while: to ask again then is no new failure.

    Attributes:
        seconds: how long it wants to be left alone.
    """

    def __init__(self, sentence: str, seconds: float) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class WorkRefusedError(BackendError, InputError):
    """The work itself cannot be run: trying again, here or after a restart, cannot help."""


class QasmError(WorkRefusedError):
    """An OpenQASM 3 source that does not parse, is too large, or asks for what no backend here can do."""
