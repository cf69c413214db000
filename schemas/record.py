"""The base of every record on a topic: frozen, closed, finite, and keyed."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import repeat
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Timestamp = AwareDatetime

P = TypeVar("P", bound="Part")

_SLOTS = tuple(BaseModel.__dict__[slot].__set__ for slot in BaseModel.__slots__)
"""What makes a model of a dict: its fields, the names of those that were given, no extra ones, nothing private."""


def now() -> datetime:
    """The current time, UTC and timezone-aware."""
    return datetime.now(UTC)


class Part(BaseModel):
    """A piece of a record: frozen, no unknown fields, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @classmethod
    def unchecked(cls, fields: dict[str, Any]) -> Self:
        """The part of all its `fields`, each known to be valid: from a validated one, or computed. Saves validation."""
        return cls.maker()(fields)

    @classmethod
    def unchecked_all(cls, rows: Sequence[dict[str, Any]], names: set[str]) -> list[Self]:
        """As `unchecked`, of many that have the same `names`, which they share; slot by slot, in half of the time."""
        parts = list(map(object.__new__, repeat(cls, len(rows))))
        for put, values in zip(_SLOTS, (rows, repeat(names), repeat(None), repeat(None)), strict=True):
            deque(map(put, parts, values), maxlen=0)
        return parts

    @classmethod
    @cache
    def maker(cls) -> Callable[[dict[str, Any]], Self]:
        """`unchecked` as a function, for whoever makes many."""
        return _maker(cls)


def _maker(kind: type[P]) -> Callable[[dict[str, Any]], P]:
    put_fields, put_names, put_extra, put_private = _SLOTS
    new, names = object.__new__, set(kind.model_fields)

    def made(fields: dict[str, Any]) -> P:
        part = new(kind)
        put_fields(part, fields)
        put_names(part, names)
        put_extra(part, None)
        put_private(part, None)
        return part

    return made


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
