"""Every setting, from `QUANTUMAI_*` or `.env`; secrets from the environment or a file, never from an event or the repository."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from schemas.codec import explain
from streams.errors import SettingsError

DEFAULT_BROKERS = "127.0.0.1:9092"
STATE_FILE = "platform.json"
_REPOSITORY = Path(__file__).resolve().parents[1]


def running_brokers(home: Path) -> str:
    """The bootstrap address of the local platform in `home`, as it was last started; `DEFAULT_BROKERS` where there was none."""
    try:
        return str(json.loads((home / STATE_FILE).read_text())["brokers"])
    except (OSError, ValueError, KeyError):
        return DEFAULT_BROKERS


class Settings(BaseSettings):
    """What can be set, and what holds when nothing is.

    Neither concurrency nor a processing guarantee is offered: the one loses events and the other is not transactional in
    Faust, so the worker has one way to run.
    """

    model_config = SettingsConfigDict(env_prefix="QUANTUMAI_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Path(".quantumai")
    """Data, logs and keys of the local platform."""
    brokers: str = Field(default_factory=lambda earlier: running_brokers(earlier.get("home", Path(".quantumai"))))
    """host:port, several by comma. Unset: the local platform in `home`, whatever its port."""
    partitions: Annotated[int, Field(ge=1, le=256)] = 4
    """Partitions of every topic: the largest number of workers of one agent that share the work."""
    retention_days: Annotated[int, Field(ge=1)] = 30
    """How long topics without eternal retention last."""
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Where a worker serves /metrics and /healthz; 0 takes a free port."""
    backends: Annotated[tuple[str, ...], NoDecode] = ()
    """Names of the backends to run, by comma; none names all."""
    backend_workers: Annotated[int, Field(ge=1)] = 2
    """Processes that simulate."""
    policy: str = "learned"
    """What recommends mitigation: `learned`, or `closed-form`."""
    policy_models: Path | None = None
    """Folder of the learned policy's models; unset: policy/models in `home`."""
    policy_threshold: float = 0.8
    """The share of pairs of methods that a model must have ranked rightly on held-out data, from 0 to 1, to be asked."""
    scoring: str = "score-v1"
    """Name of the scoring policy that decides where jobs run."""
    tenants: Path | None = None
    """JSON file of tenants' shares and quotas; unset: all alike, without quotas."""
    pkcs11_module: Path | None = None
    """PKCS#11 library; unset: the one that `make setup` installed."""
    token_label: str = "quantumai"  # noqa: S105 - a name, not a secret
    token_pin: SecretStr | None = None
    token_pin_file: Path | None = None
    key_ring: SecretStr | None = None
    """postgresql://… (which may hold a password); unset: keys.db in `home`."""
    origin: str = "quantumai.local"
    """What the names of this deployment's logs begin with (C2SP tlog-checkpoint origin)."""
    api_keys: Path | None = None
    """Trust root whose keys of the use `api-token` verify bearer tokens; unset: trust.json in `home`."""
    api_clients: Path | None = None
    """Which client certificates have which roles; unset: clients.json in `home`."""
    api_rate: Annotated[float, Field(gt=0)] = 50.0
    """Requests per second that one principal may send to a service in the long run."""
    api_burst: Annotated[int, Field(ge=1)] = 100
    """Requests that it may send at once."""
    anchor_seconds: Annotated[int, Field(ge=0)] = 86_400
    """How often each log is signed by SLH-DSA, too; 0: only when `quantumai kms anchor` asks."""
    threat_model: Path | None = None
    """Folder of the classical model that scores events; unset: the one in the package."""
    escalations: Annotated[int, Field(ge=0)] = 60
    """Threats an hour that may become quantum jobs; what is over it is marked."""
    escalation_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How long such a job may take, queueing included, before it is cancelled and the earlier score stands."""
    escalation_backend: str | None = None
    """The only backend that such jobs may run on; unset: the scheduler chooses."""
    kafka_libs: Path = _REPOSITORY / "build" / "kafka" / "libs"
    """Kafka's jars, for the local broker."""
    java: Path | None = None
    """Java 17 or newer; unset: JAVA_HOME, then PATH."""

    @classmethod
    def load(cls, **values: Any) -> Self:
        """The settings of this process; `values` win over the environment.

        Raises:
            SettingsError: a value that cannot be, named.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingsError(f"a setting (QUANTUMAI_… in the environment or .env) cannot be used: {explain(error)}") from error
        except SourceError as error:
            raise SettingsError(f"the settings cannot be read: {error}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the file .env cannot be read ({error}): mend it, or move it away") from error

    @field_validator("backends", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value

    @field_validator("brokers")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for address in value.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueError(f"{address.strip()!r} is no host:port")
        return value

    def ring(self) -> Path | str:
        """Where the key ring is."""
        return self.home / "keys.db" if self.key_ring is None else self.key_ring.get_secret_value()

    def pin(self) -> str:
        """The token's PIN, from `token_pin` or the file `token_pin_file`.

        Raises:
            SettingsError: neither is set, both are, or the file cannot be read or is empty.
        """
        if self.token_pin is not None and self.token_pin_file is not None:
            raise SettingsError("QUANTUMAI_TOKEN_PIN and QUANTUMAI_TOKEN_PIN_FILE are both set: keep one")
        if self.token_pin is not None:
            pin = self.token_pin.get_secret_value()
        elif self.token_pin_file is not None:
            pin = _first_line(self.token_pin_file)
        else:
            raise SettingsError(
                "no PIN for the token: set QUANTUMAI_TOKEN_PIN_FILE to a file that holds it, or QUANTUMAI_TOKEN_PIN"
            )
        if not pin:
            raise SettingsError("the token's PIN is empty: write it into QUANTUMAI_TOKEN_PIN_FILE's file or QUANTUMAI_TOKEN_PIN")
        return pin


def _first_line(path: Path) -> str:
    try:
        return next(iter(path.read_text().splitlines()), "").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the PIN file {path} cannot be read ({error}): check QUANTUMAI_TOKEN_PIN_FILE and its permissions"
        ) from error
