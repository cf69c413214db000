"""Recommendations by REST, on a real socket: calibrations come from a real broker."""

import asyncio
import threading

import httpx
import pytest
import uvicorn
from fake_pipeline import pipeline
from issuers import Issuer

from api.policy import AUDIENCE, service
from em.families import FAMILIES
from em.learned.devices import snapshot
from kms.trust import TrustRoot
from policy.choice import AUTOMATIC
from schemas.mitigation import Recommendation
from streams.settings import Settings

PATH = "/api/v1/policy/recommend"


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture(scope="module")
def served(broker, issuer, tmp_path_factory):
    """The service's address; one calibration is there."""
    home = tmp_path_factory.mktemp("policy")
    TrustRoot((issuer.public,)).save(home / "trust.json")
    settings = Settings(home=home, brokers=broker.bootstrap, origin="tests", api_rate=1000, api_burst=1000)

    async def publish():
        async with pipeline(broker.bootstrap) as agents:
            await agents.publish(snapshot("jakarta"))

    asyncio.run(publish())
    server = uvicorn.Server(uvicorn.Config(service(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def call(served, issuer):
    def post(body, roles=("reader",), **headers):
        token = issuer.token(sub="alice", aud=AUDIENCE, roles=list(roles))
        return httpx.post(f"{served}{PATH}", json=body, headers={"authorization": f"Bearer {token}"} | headers, timeout=60)

    return post


def question(**fields):
    instance = FAMILIES["ising"].instance(1, 0)
    observables = [each.model_dump(mode="json") for each in instance.observables]
    return {"circuits": [instance.source], "observables": observables, "shots": 4096} | fields


def test_a_recommendation_for_each_backend(call):
    answer = call(question())
    assert answer.status_code == 200, answer.text
    (found,) = [Recommendation.model_validate(each) for each in answer.json()["candidates"] if each["backend"] == "fake_jakarta"]
    assert {each.method for each in found.ranking} == set(AUTOMATIC)
    assert answer.json()["model_version"].startswith("learned-")
    assert "The model is" in found.reason


def test_a_limit_of_time_is_kept(call):
    free, hurried = (
        next(each for each in call(question(**more)).json()["candidates"] if each["backend"] == "fake_jakarta")
        for more in ({}, {"latency_seconds": 1.5})
    )
    assert hurried["execution_seconds"] <= 1.5 < free["execution_seconds"]
    assert "take too long" in hurried["reason"]


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"circuits": ["qubit q; foo q;"]}, 422, "circuit 0"),
        ({"circuits": []}, 422, "circuits"),
        ({"shots": 0}, 422, "shots"),
        ({"method": "magic"}, 422, "unknown method 'magic'"),
        ({"backend": "mars"}, 422, "unknown backend 'mars'"),
        ({"latency_seconds": -1}, 422, "latency_seconds"),
        ({"unknown": 1}, 422, "unknown"),
    ],
)
def test_bad_questions_are_problems_with_a_reason(call, more, status, words):
    answer = call(question(**more))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.text


def test_nobody_asks_without_a_token_or_a_role(call, served):
    assert httpx.post(f"{served}{PATH}", json=question()).status_code == 401
    assert call(question(), roles=("signer",)).status_code == 403


def test_it_is_described_and_counted(call, served):
    call(question())
    described = httpx.get(f"{served}/openapi.json").json()
    assert described["paths"][PATH]["post"]["x-roles"] == ["producer", "reader"]
    counted = httpx.get(f"{served}/metrics").text
    for name in ("decisions_total", "decision_seconds_count", "confidence_count", "fallbacks_total"):
        assert f"quantumai_policy_{name}" in counted
    assert httpx.get(f"{served}/health/ready").status_code == 200
