"""Crypto modes on backends and routes, hop by hop."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.crypto import SUITES, access

_CLASSICAL, _HYBRID, _QKD = ("X25519",), ("X25519", "X25519MLKEM768"), ("QKD-BB84",)


def test_any_mode_takes_the_route_with_the_fewest_hops(make):
    routes = (make.through(_CLASSICAL, _CLASSICAL, name="long"), make.through(_CLASSICAL, name="short"))
    assert access("any", make.calibration(routes=routes)).route.name == "short"


@pytest.mark.parametrize(
    ("mode", "hops", "blocking"),
    [
        ("pqc", (_HYBRID, _CLASSICAL, _HYBRID), "relay0 -> relay1"),
        ("pqc", (_HYBRID, _HYBRID, _QKD), "relay1 -> a"),
        ("qkd", (_QKD, _HYBRID), "relay0 -> a"),
        ("qkd", (_HYBRID, _QKD), "plane -> relay0"),
        ("any", (_CLASSICAL, ("rot13",)), "relay0 -> a"),
        ("any", (_CLASSICAL, ()), "relay0 -> a, only none at all"),
    ],
)
def test_one_hop_that_breaks_the_mode_blocks_the_route_and_is_named(make, mode, hops, blocking):
    found = access(mode, make.calibration(routes=(make.through(*hops),)))
    assert found.route is None
    assert len(found.blocked) == 1
    assert f"hop {blocking}" in found.blocked[0]
    assert found.blocked[0].startswith(f"crypto mode {mode}: route direct")


def test_qkd_end_to_end_is_admissible_and_is_the_route_that_is_taken(make):
    routes = (make.through(_HYBRID, name="internet"), make.through(_QKD, _QKD, name="fibre"))
    assert access("qkd", make.calibration(routes=routes)).route.name == "fibre"
    assert access("pqc", make.calibration(routes=routes)).route.name == "internet"


def test_a_good_route_does_not_make_up_for_the_endpoint(make):
    found = access("pqc", make.calibration(suites=("X25519",), routes=(make.through(_HYBRID),)))
    assert found.route is None
    assert found.blocked == ("crypto mode pqc: the endpoint of a offers no post-quantum suite, only X25519",)


def test_a_backend_without_a_route_cannot_be_reached(make):
    assert access("any", make.calibration(routes=())).blocked == ("crypto mode any: no route to a is known",)


def test_a_route_must_lead_to_the_backend_and_hang_together(make):
    elsewhere = make.through(_HYBRID, backend="b")
    assert "ends at b, not at a" in access("any", make.calibration(routes=(elsewhere,))).blocked[0]
    whole = make.through(_HYBRID, _HYBRID)
    broken = whole.model_copy(update={"hops": (whole.hops[0], whole.hops[1].model_copy(update={"source": "moon"}))})
    assert "ends at relay0, the next begins at moon" in access("any", make.calibration(routes=(broken,))).blocked[0]


def test_the_route_and_the_blocking_hop_stand_in_the_decision(make):
    calibrations = [
        make.calibration("a", routes=(make.through(_HYBRID, _CLASSICAL, backend="a"),)),
        make.calibration("b", routes=(make.through(_HYBRID, name="safe", backend="b"),)),
    ]
    advice = make.recommended(make.recommendation("a", 0.99), make.recommendation("b", 0.5), crypto_mode="pqc")
    decision = make.route(advice, *calibrations)
    assert decision.backend == "b"
    assert decision.scores[0].route == "safe"
    assert "relay0 -> a" in decision.scores[1].blocked[0]
    assert decision.scores[1].crypto_compatibility == 0


_SUITES = st.lists(st.sampled_from([*SUITES, "rot13"]), max_size=3).map(tuple)


def _satisfies(mode, suites):
    """An independent checker: by the letters of the names, not by the table."""
    wanted = {"any": lambda name: name != "rot13", "pqc": lambda name: "KEM" in name, "qkd": lambda name: name.startswith("QKD")}[
        mode
    ]
    return any(wanted(name) for name in suites)


@given(
    mode=st.sampled_from(["any", "pqc", "qkd"]),
    endpoint=_SUITES,
    routes=st.lists(st.lists(_SUITES, min_size=1, max_size=4), max_size=4),
)
@settings(deadline=None, max_examples=400)
def test_a_route_is_found_exactly_where_an_independent_checker_finds_one(make, mode, endpoint, routes):
    calibration = make.calibration(
        suites=endpoint, routes=tuple(make.through(*hops, name=f"r{i}") for i, hops in enumerate(routes))
    )
    good = [f"r{i}" for i, hops in enumerate(routes) if _satisfies(mode, endpoint) and all(_satisfies(mode, hop) for hop in hops)]
    found = access(mode, calibration)
    if good:
        assert found.route.name in good
        assert not found.blocked
    else:
        assert found.route is None
        assert found.blocked
