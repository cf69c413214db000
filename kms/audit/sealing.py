"""Seals a chain each second from a thread, and at the end; for processes that stay."""

import logging
import threading
from typing import Self

from kms.audit.trail import Trail
from kms.errors import KmsError

SECONDS = 1.0

_LOG = logging.getLogger(__name__)


class Sealer:
    """For `with`: while it lasts, no entry of the trail is unsealed for much longer than a second.

    A seal costs two signatures and 5 KB, whatever number of entries it covers; that is why they wait for each other.
    """

    def __init__(self, trail: Trail) -> None:
        self._trail, self._stop = trail, threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-seal", daemon=True)
        self._failure: KmsError | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._seal()

    def check(self) -> None:
        """Does nothing while sealing works.

        Raises:
            KmsError: why it does not.
        """
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while not self._stop.wait(SECONDS):
            self._seal()

    def _seal(self) -> None:
        try:
            self._trail.seal()
        except KmsError as error:
            if self._failure is None:
                _LOG.error("the audit is not sealed, which is tried again each second: %s", error)
            self._failure = error
        else:
            self._failure = None
