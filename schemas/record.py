"""The base of every record on a topic: frozen, closed, finite, and keyed."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Timestamp = AwareDatetime


def now() -> datetime:
    """The current time, UTC and timezone-aware."""
    return datetime.now(UTC)


class Part(BaseModel):
    """A piece of a record: frozen, no unknown fields, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @classmethod
    def unchecked(cls, fields: dict[str, Any]) -> Self:
        """The part of all its `fields`, each known to be valid: from a validated one, or computed. Saves validation."""
        return cls.unchecked_all((fields,), set(fields))[0]

    @classmethod
    def unchecked_all(cls, rows: Iterable[dict[str, Any]], names: set[str]) -> list[Self]:
        """As `unchecked`, of many that have the same `names`, which they share."""
        new, put, found = cls.__new__, object.__setattr__, []
        for fields in rows:
            part = new(cls)
            put(part, "__dict__", fields)
            put(part, "__pydantic_fields_set__", names)
            put(part, "__pydantic_extra__", None)
            put(part, "__pydantic_private__", None)
            found.append(part)
        return found


class Record(Part):
    """A record with a topic of its own.

    Attributes:
        topic: the Kafka topic that holds this type and no other.
        key_field: the field whose value is the Kafka key, so that Kafka keeps its order.
    """

    topic: ClassVar[str]
    key_field: ClassVar[str]

    @property
    def key(self) -> bytes:
        """The Kafka key, UTF-8."""
        return str(getattr(self, self.key_field)).encode()
