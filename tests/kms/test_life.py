"""The states of a key: which follow from which times, and which ways lead from one to the next."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis.strategies import fixed_dictionaries, integers, none

from kms.errors import NotInForce, WrongTransition
from kms.life import ALLOWED, TRANSITIONS, Life, allow
from schemas.errors import InputError

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def day(number):
    return None if number is None else START + number * DAY


LIVES = {
    "pre-active": Life(START),
    "active": Life(START, day(1)),
    "verify-only": Life(START, day(1), day(2)),
    "deprecated": Life(START, day(1), day(2), day(3)),
    "revoked": Life(START, day(1), None, None, day(2)),
    "destroyed": Life(START, day(1), day(2), None, None, day(3)),
}
LEGAL = {
    ("pre-active", "schedule"): "active",
    ("pre-active", "revoke"): "revoked",
    ("pre-active", "destroy"): "destroyed",
    ("active", "disable"): "verify-only",
    ("active", "deprecate"): "deprecated",
    ("active", "revoke"): "revoked",
    ("verify-only", "deprecate"): "deprecated",
    ("verify-only", "revoke"): "revoked",
    ("verify-only", "destroy"): "destroyed",
    ("deprecated", "revoke"): "revoked",
    ("deprecated", "destroy"): "destroyed",
    ("revoked", "destroy"): "destroyed",
}


@pytest.mark.parametrize("state", LIVES)
@pytest.mark.parametrize("transition", TRANSITIONS)
def test_every_way_is_legal_or_refused(state, transition):
    life, now = LIVES[state], day(10)
    assert life.state(now) == state
    if (state, transition) in LEGAL:
        assert life.after(transition, now, now).state(now) == LEGAL[state, transition]
        return
    with pytest.raises(WrongTransition, match=f"that is {state} cannot be") as caught:
        life.after(transition, now, now)
    assert isinstance(caught.value, InputError)


def test_a_key_goes_from_state_to_state_as_its_times_come():
    life = Life(START, day(1), day(2), day(3), day(4), day(5))
    assert [life.state(day(number)) for number in range(6)] == [
        "pre-active",
        "active",
        "verify-only",
        "deprecated",
        "revoked",
        "destroyed",
    ]


@given(
    fixed_dictionaries({name: none() | integers(0, 9) for name in ("activates", "retires", "deprecated", "revoked", "destroyed")})
)
def test_a_key_never_comes_back_to_an_earlier_state(times):
    order = ("pre-active", "active", "verify-only", "deprecated", "revoked", "destroyed")
    life = Life(START, **{name: day(number) for name, number in times.items()})
    ranks = [order.index(life.state(day(number))) for number in range(11)]
    assert ranks == sorted(ranks)
    if life.ends is not None:
        assert life.state(life.ends) not in ("pre-active", "active")


@pytest.mark.parametrize(
    ("operation", "states"),
    [
        ("sign", {"active"}),
        ("encapsulate", {"active"}),
        ("decapsulate", {"active", "verify-only", "deprecated"}),
        ("verify", {"active", "verify-only", "deprecated", "destroyed"}),
    ],
)
def test_what_a_key_may_do_in_which_state(operation, states):
    assert ALLOWED.keys() == {"sign", "encapsulate", "decapsulate", "verify"}
    for state in LIVES:
        if state in states:
            allow(operation, state, "k")
        else:
            with pytest.raises(NotInForce, match=f"is {state} and may not {operation}"):
                allow(operation, state, "k")
