"""Paths in the graph of links: shortest, and of one mode from end to end."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.crypto import access
from scheduler.network import SOURCE, Network
from schemas.calibration import Hop

_PQC, _QKD, _CLASSICAL = ("X25519MLKEM768",), ("QKD-BB84",), ("X25519",)
_NODES = [SOURCE, "r1", "r2", "r3", "r4", "a"]


def hop(source, target, suites):
    return Hop(source=source, target=target, suites=suites)


def nodes(route):
    return [route.hops[0].source, *(each.target for each in route.hops)]


def test_the_shortest_path_of_the_mode_is_taken_and_not_the_shortest_of_all():
    network = Network(
        [
            hop(SOURCE, "a", _CLASSICAL),
            hop(SOURCE, "r1", _PQC),
            hop("r1", "a", _PQC),
            hop(SOURCE, "r2", _QKD),
            hop("r2", "r3", _QKD),
            hop("r3", "a", _QKD),
        ]
    )
    assert nodes(network.route("any", "a")) == [SOURCE, "a"]
    assert nodes(network.route("pqc", "a")) == [SOURCE, "r1", "a"]
    assert nodes(network.route("qkd", "a")) == [SOURCE, "r2", "r3", "a"]


def test_a_path_of_post_quantum_and_quantum_links_is_neither():
    network = Network([hop(SOURCE, "r1", _PQC), hop("r1", "a", _QKD)])
    assert network.route("pqc", "a") is None and network.route("qkd", "a") is None
    assert nodes(network.route("any", "a")) == [SOURCE, "r1", "a"]


def test_links_lead_one_way_and_what_several_backends_know_adds_up():
    assert Network([hop("a", SOURCE, _PQC)]).route("any", "a") is None
    network = Network([hop(SOURCE, "a", _CLASSICAL), hop(SOURCE, "a", _PQC)])
    assert network.route("pqc", "a").hops[0].suites == ("X25519", "X25519MLKEM768")


def test_a_path_is_a_route_like_any_other_and_the_endpoint_counts(make):
    network = Network([hop(SOURCE, "r1", _PQC), hop("r1", "a", _PQC)])
    plain = make.calibration(routes=(make.through(_CLASSICAL),))
    assert access("pqc", plain, network).path == (SOURCE, "r1", "a")
    assert access("any", plain, network).route.name == "direct"  # fewer hops
    assert access("pqc", make.calibration(suites=_CLASSICAL, routes=()), network).route is None
    assert "no path of QKD links leads to a" in access("qkd", make.calibration(routes=()), network).blocked[0]


def test_a_decision_uses_what_any_backend_knows_of_the_network(make):
    """The backend itself knows its last link only; another one knows the first."""
    near = make.calibration("near", routes=(), links=(hop(SOURCE, "hub", _PQC), hop("hub", "near", _PQC)))
    far = make.calibration("far", routes=(), links=(hop("hub", "far", _PQC),))
    decision = make.route(make.recommended(make.recommendation("far"), crypto_mode="pqc"), near, far)
    assert decision.backend == "far"
    assert decision.scores[0].path == (SOURCE, "hub", "far")


_LINKS = st.lists(
    st.tuples(
        st.sampled_from(_NODES),
        st.sampled_from(_NODES),
        st.lists(st.sampled_from(["X25519", "ML-KEM-768", "QKD-E91", "rot13"]), max_size=2),
    ).map(lambda link: hop(link[0], link[1], tuple(link[2]))),
    max_size=14,
)
_LETTERS = {"any": lambda name: name != "rot13", "pqc": lambda name: "KEM" in name, "qkd": lambda name: name.startswith("QKD")}


def distance(links, mode, target):
    """By Bellman and Ford: an independent way to the length of the shortest path; None without one."""
    known = {SOURCE: 0}
    for _ in _NODES:
        for link in links:
            merged = [suite for each in links if (each.source, each.target) == (link.source, link.target) for suite in each.suites]
            if link.source in known and any(map(_LETTERS[mode], merged)):
                known[link.target] = min(known.get(link.target, 99), known[link.source] + 1)
    return known.get(target)


@given(links=_LINKS, mode=st.sampled_from(["any", "pqc", "qkd"]))
@settings(deadline=None, max_examples=300)
def test_a_path_is_found_where_there_is_one_it_holds_and_none_is_shorter(links, mode):
    found, shortest = Network(links).route(mode, "a"), distance(links, mode, "a")
    if found is None:
        assert shortest is None
        return
    assert len(found.hops) == shortest
    assert nodes(found)[0] == SOURCE and nodes(found)[-1] == "a"
    for source, target in pairwise(nodes(found)):
        suites = [suite for link in links if (link.source, link.target) == (source, target) for suite in link.suites]
        assert any(map(_LETTERS[mode], suites))


@given(links=_LINKS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_the_order_of_links_does_not_change_the_path(links, seed):
    mixed = random.Random(seed).sample(links, len(links))
    one, other = Network(links).route("any", "a"), Network(mixed).route("any", "a")
    assert (one and nodes(one)) == (other and nodes(other))
