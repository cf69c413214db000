"""One device of IBM's cloud, reached when it is first needed, and everything that is asked of it."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillConnectingError
from typing import Any, TypeVar

from qiskit_ibm_runtime import QiskitRuntimeService

from backends.errors import BackendError
from backends.ibm.faults import UnansweredError, told
from backends.ibm.settings import IbmSettings
from backends.ibm.transport import Transport

T = TypeVar("T")

CONNECT_SECONDS = 60.0
"""Longest wait for the first connection: half a dozen requests, to the account's services, too."""


class Connection:
    """Thread-safe.

    Attributes:
        device_name: the device's name at IBM.
    """

    def __init__(self, device_name: str, settings: IbmSettings) -> None:
        if settings.token is None and settings.channel != "local":
            raise BackendError(
                f"ibm:{device_name} needs a token: set IBM_QUANTUM_TOKEN in the environment or .env (an API key from "
                "https://quantum.cloud.ibm.com), or IBM_QUANTUM_CHANNEL=local to have IBM's client play a fake device"
            )
        self.device_name = device_name
        self.settings = settings
        self._secret = settings.token.get_secret_value() if settings.token else ""
        self._lock = threading.Lock()
        self._connecting: Future[tuple[Any, Any]] | None = None

    @property
    def local(self) -> bool:
        """Whether IBM's client simulates the device in this process."""
        return self.settings.channel == "local"

    @property
    def secret(self) -> str:
        """What must be in no sentence."""
        return self._secret

    def ask(self, step: Callable[[Any, Any], T]) -> T:
        """step(service, device).

        Raises:
            BackendBusyError: IBM wants no request now.
            WorkRefusedError: IBM will never run the work.
            BackendError: whatever else went wrong, in a sentence without the token.
        """
        service, device = self._connected()
        return told(lambda: step(service, device), self._secret)

    def properties(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What the device says of itself today: its properties and its configuration."""

        def both(_service: Any, device: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
            properties = device.properties() if self.local else device.properties(refresh=True)
            if properties is None:
                raise BackendError(f"{self.device_name} has no calibration: it is a simulator, or IBM has none today")
            return properties.to_dict(), device.configuration().to_dict()

        return self.ask(both)

    def _connected(self) -> tuple[Any, Any]:
        """Service and device; the first connection takes several requests that have no time limit of their own."""
        with self._lock:
            if self._connecting is None:
                self._connecting = Future()
                threading.Thread(target=self._connect, args=(self._connecting,), daemon=True).start()
            connecting = self._connecting
        try:
            return connecting.result(timeout=CONNECT_SECONDS)
        except StillConnectingError:
            raise UnansweredError("IBM did not answer in time") from None
        except BackendError:
            with self._lock:
                self._connecting = None
            raise

    def _connect(self, connecting: "Future[tuple[Any, Any]]") -> None:
        try:
            connecting.set_result(told(self._service_and_device, self._secret))
        except BackendError as error:
            connecting.set_exception(error)

    def _service_and_device(self) -> tuple[Any, Any]:
        if self.local:
            service = QiskitRuntimeService(channel="local")
            return service, service.backend(self.device_name)
        settings = self.settings
        service = QiskitRuntimeService(
            channel=settings.channel,
            token=self._secret,
            instance=settings.instance,
            url=settings.url,
            url_resolver=(lambda url, *_: url) if settings.url else None,
        )
        device = service.backend(self.device_name)
        transport = Transport(settings.timeout_seconds)
        for client in {service._active_api_client, *service._api_clients.values()}:  # there is no public way to a time limit
            for scheme in ("https://", "http://"):
                client._session.mount(scheme, transport)
        return service, device
