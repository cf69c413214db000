"""Turns: shares between tenants, priorities, and that nobody waits for ever."""

import heapq

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.fair import HEAD_START_SECONDS, TOP_PRIORITY, FairQueue


class Server:
    """One server that always takes the lowest turn; what it did stands in `served`."""

    def __init__(self):
        self.turns, self.waiting, self.served, self.number = FairQueue(), [], [], 0

    def ask(self, tenant, seconds, weight=1.0, priority=5):
        turn = self.turns.turn(tenant, seconds, weight, priority)
        heapq.heappush(self.waiting, (turn, self.number, tenant, seconds, priority))
        self.number += 1
        return self.number - 1

    def serve(self):
        turn, number, tenant, seconds, priority = heapq.heappop(self.waiting)
        self.turns.started(turn, priority)
        self.served.append((number, tenant, seconds))
        return number


_JOBS = st.lists(st.floats(0.1, 50), min_size=30, max_size=60)


@given(ada=_JOBS, bob=_JOBS, weight=st.floats(0.2, 5))
@settings(deadline=None, max_examples=100)
def test_while_both_wait_their_work_by_weight_differs_by_one_job_of_each_at_most(ada, bob, weight):
    """Goyal, Vin and Cheng 1996, theorem 1: |W_f / r_f - W_m / r_m| <= l_f / r_f + l_m / r_m."""
    server = Server()
    for seconds in ada:
        server.ask("ada", seconds)
    for seconds in bob:
        server.ask("bob", seconds, weight)
    left, work = {"ada": len(ada), "bob": len(bob)}, {"ada": 0.0, "bob": 0.0}
    bound = max(ada) + max(bob) / weight
    while left["ada"] and left["bob"]:
        server.serve()
        _, tenant, seconds = server.served[-1]
        left[tenant] -= 1
        work[tenant] += seconds
        if all(left.values()):
            assert abs(work["ada"] - work["bob"] / weight) <= bound + 1e-6


@given(
    crowd=st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0.1, 20), st.integers(0, 9)), min_size=200, max_size=400),
    at=st.integers(0, 50),
    priority=st.integers(0, 9),
)
@settings(deadline=None, max_examples=60)
def test_starvation_is_bounded_whatever_the_others_ask_for(crowd, at, priority):
    """A job of a tenant without others is passed by no more work of each other tenant than the head start and one job."""
    server, passed = Server(), dict.fromkeys("abcd", 0.0)
    victim = None
    for number, (tenant, seconds, theirs) in enumerate(crowd):
        if number == at:
            before = {waiting[1] for waiting in server.waiting}
            victim = server.ask("victim", 1.0, priority=priority)
        server.ask(tenant, seconds, priority=theirs)
        if number % 2 and victim is not None:
            served = server.serve()
            if served == victim:
                break
            _, who, seconds_ = server.served[-1]
            if served not in before:
                passed[who] += seconds_
    else:
        while server.serve() != victim:
            number, who, seconds_ = server.served[-1]
            if number not in before:
                passed[who] += seconds_
    allowed = (TOP_PRIORITY - priority) * HEAD_START_SECONDS + 20.0 * 2
    assert all(work <= allowed + 1e-6 for work in passed.values())


def test_a_tenant_that_floods_does_not_delay_one_that_asks_now_and_then():
    server = Server()
    for _ in range(1000):
        server.ask("flood", 10.0)
    for _ in range(20):
        server.serve()
    late = server.ask("quiet", 10.0)
    assert [server.serve() for _ in range(3)].count(late) == 1


def test_whoever_was_away_saves_up_nothing():
    server = Server()
    for _ in range(50):
        server.ask("ada", 10.0)
        server.serve()
    for tenant in ("ada", "bob"):
        for _ in range(10):
            server.ask(tenant, 10.0)
    first = [server.serve() and server.served[-1][1] for _ in range(10)]
    assert 4 <= first.count("bob") <= 6


def test_priority_is_a_head_start_within_a_tenant_and_no_more():
    server = Server()
    plain = [server.ask("ada", 100.0) for _ in range(20)]
    urgent = server.ask("ada", 100.0, priority=9)
    order = [server.serve() for _ in range(21)]
    ahead = order.index(urgent)
    assert plain[0] == order[0]
    assert ahead < 20
    overtaken = sum(order.index(number) > ahead for number in plain)
    assert 1 <= overtaken <= 4 * HEAD_START_SECONDS / 100 + 1


def test_memory_is_of_tenants_that_are_behind_only():
    turns = FairQueue()
    for number in range(5000):
        turns.started(turns.turn(f"tenant{number}", 1.0, 1.0, 5), 5)
        turns.started(number + 600.0, 5)
    assert len(turns.finish) < 2000
