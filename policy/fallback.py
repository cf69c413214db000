"""Why the closed form recommends in place of a model: a kind to count, and a sentence to read."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["chosen", "setting", "model", "counts", "method", "size", "gates", "compiler", "novel"]


@dataclass(frozen=True, slots=True)
class Fallback:
    """A reason.

    Attributes:
        kind: `chosen` where the closed form is what the settings ask for.
        says: a clause that follows `since`; empty where it was chosen.
    """

    kind: Kind
    says: str = ""


CHOSEN = Fallback("chosen")
