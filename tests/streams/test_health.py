"""A worker's port: ready or not and why, metrics, and nothing else."""

import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from streams import health
from streams.errors import StreamsError
from streams.health import Health, serve


@contextmanager
def served(state, port=0):
    server = serve("127.0.0.1", port, state)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_says_why_it_is_not_ready_and_when_it_is():
    state = Health("policy")
    with served(state) as port:
        assert get(port, "/healthz") == (503, json.dumps({"agent": "policy", "ready": False, "problem": "starting"}))
        state.waiting_for = "waiting for the broker"
        assert json.loads(get(port, "/healthz")[1])["problem"] == "waiting for the broker"
        state.waiting_for = None
        assert get(port, "/healthz") == (200, json.dumps({"agent": "policy", "ready": True, "problem": None}))


def test_an_event_loop_that_is_silent_is_not_ready_until_it_is_seen_again(monkeypatch):
    monkeypatch.setattr(health, "LOOP_SECONDS", 0.2)
    state = Health("policy")
    state.waiting_for = None
    with served(state) as port:
        assert get(port, "/healthz")[0] == 200
        time.sleep(0.4)
        status, body = get(port, "/healthz")
        assert status == 503 and "the event loop has been silent for" in json.loads(body)["problem"]
        state.beat()
        assert get(port, "/healthz")[0] == 200


def test_metrics_are_prometheus_text_and_other_paths_are_told_which_there_are():
    with served(Health("policy")) as port:
        status, body = get(port, "/metrics")
        assert status == 200 and "# TYPE quantumai_events_consumed_total counter" in body
        assert get(port, "/secrets") == (404, json.dumps({"paths": ["/metrics", "/healthz"]}))


def test_a_port_in_use_is_said_in_a_sentence():
    with (
        served(Health("policy")) as port,
        pytest.raises(StreamsError, match=rf"metrics port 127\.0\.0\.1:{port} cannot be opened .*another QUANTUMAI_METRICS_PORT"),
    ):
        serve("127.0.0.1", port, Health("signer"))


def test_many_ask_at_once():
    """One slow reader must not keep a supervisor from its answer."""
    state, answers = Health("policy"), []
    state.waiting_for = None
    with served(state) as port:
        askers = [threading.Thread(target=lambda: answers.append(get(port, "/healthz")[0])) for _ in range(20)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(10)
    assert answers == [200] * 20
