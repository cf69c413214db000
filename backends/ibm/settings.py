"""How IBM's cloud is reached: `IBM_QUANTUM_*` in the environment or `.env`."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from backends.errors import BackendError
from schemas.codec import explain

Mode = Literal["job", "batch", "session"]


class IbmSettings(BaseSettings):
    """What can be set, and what holds when nothing is."""

    model_config = SettingsConfigDict(
        env_prefix="IBM_QUANTUM_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    token: SecretStr | None = None
    """An API key of the account; never logged, and in no error."""
    channel: Literal["ibm_quantum_platform", "ibm_cloud", "local"] = "ibm_quantum_platform"
    """`local` needs no token: IBM's own client plays the fake devices on this machine."""
    instance: str = "auto"
    """The CRN or name of the service instance; `auto` takes one that has the device."""
    url: str | None = None
    """The service's address where it is not IBM's own; used as it stands."""
    mode: Mode = "job"
    """How the jobs of one work are sent: each alone, or together in a batch or a session that is closed behind them."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Longest wait for an answer."""
    poll_seconds: Annotated[float, Field(gt=0)] = 2.0
    """How often a running job is asked for."""

    @classmethod
    def load(cls) -> "IbmSettings":
        """The settings of this process.

        Raises:
            BackendError: a value that cannot be, named.
        """
        try:
            return cls()
        except ValidationError as error:
            raise BackendError(f"a setting (IBM_QUANTUM_… in the environment or .env) cannot be used: {explain(error)}") from None
