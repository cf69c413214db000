"""The states of a key, and how it goes from one to the next. The times of a key's life say its state: nothing switches it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from kms.errors import NotInForce, WrongTransition

KeyState = Literal["pre-active", "active", "verify-only", "deprecated", "revoked", "destroyed"]
Operation = Literal["sign", "decapsulate", "encapsulate", "verify"]


@dataclass(frozen=True, slots=True)
class Life:
    """When a key entered its states, or will; UTC, None where that is not known to come. All None: a key without a history.

    Attributes:
        created: pre-active since then.
        activates: active since then.
        retires: verify-only since then: it makes no more signatures.
        deprecated: those that it made should be replaced since then.
        revoked: nothing that it made counts since then.
        destroyed: its private half is gone since then.
    """

    created: datetime | None = None
    activates: datetime | None = None
    retires: datetime | None = None
    deprecated: datetime | None = None
    revoked: datetime | None = None
    destroyed: datetime | None = None

    def state(self, at: datetime) -> KeyState:
        """The state at a time: the last that was entered, later states before earlier ones."""
        return next((state for name, state in _STATES.items() if _passed(getattr(self, name), at)), "pre-active")

    @property
    def ends(self) -> datetime | None:
        """When it makes no more signatures."""
        return min(filter(None, (self.retires, self.deprecated, self.revoked, self.destroyed)), default=None)

    def after(self, transition: str, at: datetime, now: datetime) -> "Life":
        """The life with a transition at a time.

        Raises:
            WrongTransition: it does not lead from the state of `now` to where it should.
        """
        rule, state = TRANSITIONS[transition], self.state(now)
        if state not in rule.allowed:
            allowed = ", ".join(sorted(rule.allowed))
            hint = "; disable it first" if transition == "destroy" and state == "active" else ""
            raise WrongTransition(f"a key that is {state} cannot be {rule.done}: that is for keys that are {allowed}{hint}")
        return replace(self, **{rule.sets: at})


@dataclass(frozen=True, slots=True)
class Transition:
    """One way from state to state.

    Attributes:
        allowed: states that it leads from.
        sets: the time of `Life` that it sets.
        done: what was done to the key, for messages.
    """

    allowed: frozenset[KeyState]
    sets: str
    done: str


TRANSITIONS: Mapping[str, Transition] = MappingProxyType(
    {
        "schedule": Transition(frozenset({"pre-active"}), "activates", "scheduled"),
        "disable": Transition(frozenset({"active"}), "retires", "disabled"),
        "deprecate": Transition(frozenset({"active", "verify-only"}), "deprecated", "deprecated"),
        "revoke": Transition(frozenset({"pre-active", "active", "verify-only", "deprecated"}), "revoked", "revoked"),
        "destroy": Transition(frozenset({"pre-active", "verify-only", "deprecated", "revoked"}), "destroyed", "destroyed"),
    }
)

ALLOWED: Mapping[Operation, frozenset[KeyState]] = MappingProxyType(
    {
        "sign": frozenset({"active"}),
        "encapsulate": frozenset({"active"}),
        "decapsulate": frozenset({"active", "verify-only", "deprecated"}),
        "verify": frozenset({"active", "verify-only", "deprecated", "destroyed"}),
    }
)
"""What a key in which state may still do; a destroyed key's signatures count unless it was revoked, too."""

_STATES: Mapping[str, KeyState] = {
    "destroyed": "destroyed",
    "revoked": "revoked",
    "deprecated": "deprecated",
    "retires": "verify-only",
    "activates": "active",
}
TIMES = tuple(field.name for field in fields(Life))
"""The names of the times of a life, in their order."""


def allow(operation: Operation, state: KeyState, kid: str) -> None:
    """Does nothing when a key in this state may do it.

    Raises:
        NotInForce: it may not.
    """
    if state not in ALLOWED[operation]:
        allowed = ", ".join(sorted(ALLOWED[operation]))
        raise NotInForce(
            f"the key {kid} is {state} and may not {operation}: that is for keys that are {allowed}; take a newer version"
        )


def _passed(time: datetime | None, at: datetime) -> bool:
    return time is not None and time <= at
