"""The platform's REST service on a real socket and a real broker: predictions, jobs, results, threats, findings."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
import uvicorn
from fake_pipeline import answering, completed, pipeline, routed, status
from issuers import Issuer
from qiskit import qasm3
from qiskit.quantum_info import SparsePauliOp, Statevector

from api.platform_service import AUDIENCE, service
from kms.trust import TrustRoot
from schemas.jobs import JobRequested
from schemas.threats import ThreatObserved, ThreatScored
from streams.client import Client
from streams.settings import Settings
from threat.vqc.model import shipped

EVE = {
    "timestamp": "2021-06-06T15:59:46.457984+0200",
    "flow_id": 1,
    "event_type": "alert",
    "src_ip": "10.0.0.9",
    "dest_ip": "192.0.2.7",
    "alert": {"severity": 1},
}


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture(scope="module")
def settings(broker, issuer, tmp_path_factory):
    home = tmp_path_factory.mktemp("api")
    TrustRoot((issuer.public,)).save(home / "trust.json")
    return Settings(home=home, brokers=broker.bootstrap, origin="tests", api_rate=1000, api_burst=1000)


@contextmanager
def serving(settings):
    """The address of a service of its own."""
    server = uvicorn.Server(uvicorn.Config(service(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def served(settings):
    """The service's address."""
    with serving(settings) as address:
        yield address


@asynccontextmanager
async def calling(served, issuer, *roles, sub="alice"):
    token = issuer.token(sub=sub, aud=AUDIENCE, roles=list(roles or ("producer", "reader")))
    async with httpx.AsyncClient(base_url=served, headers={"authorization": f"Bearer {token}"}, timeout=30) as http:
        yield http


async def _until(http, job_id, *states):
    for _ in range(200):
        view = (await http.get(f"/api/v1/quantum/jobs/{job_id}")).json()
        if view.get("state") in states:
            return view
        await asyncio.sleep(0.05)
    raise AssertionError(view)


async def _accept(agents, job):
    for record in (routed(job), status(job, "QUEUED"), status(job, "RUNNING")):
        await agents.publish(record)
        await asyncio.sleep(0.2)


async def test_a_prediction_goes_from_request_to_result(broker, served, issuer):
    finish = asyncio.Event()

    async def answer(agents, job):
        await _accept(agents, job)
        await finish.wait()
        await agents.publish(status(job, "DONE"), completed(job))

    async with answering(broker.bootstrap, answer), calling(served, issuer) as http:
        accepted = await http.post(
            "/api/v1/quantum/predict/async", json={"features": {"alert": 1.0, "severity": 4.0}, "shots": 500}
        )
        assert accepted.status_code == 202, accepted.text
        said = accepted.json()
        assert said["state"] == "QUEUED" and accepted.headers["location"] == said["status_url"]
        assert (await _until(http, said["job_id"], "RUNNING"))["started_at"] is None
        early = await http.get(said["result_url"])
        assert (early.status_code, early.json()["state"]) == (409, "RUNNING")
        finish.set()
        done = await _until(http, said["job_id"], "DONE")
        assert done["queued_at"] and done["completed_at"] and done["backend"] == "fake_lima"
        found = (await http.get(said["result_url"])).json()
    model = shipped()
    assert found["probability"] == pytest.approx(model.answer(0.98)) and found["raw_probability"] == pytest.approx(
        model.answer(0.9)
    )
    assert found["model"] == f"{model.name}/{model.version}" == said["model"]


async def test_the_job_that_is_requested_asks_the_models_own_question(broker, served, issuer):
    async with calling(served, issuer) as http, Client(broker.bootstrap) as client:
        said = (await http.post("/api/v1/quantum/predict/async", json={"event": EVE, "seed": 7, "backend": "fake_manila"})).json()
        jobs = [event.record async for event in client.records(JobRequested)]
    [job] = [job for job in jobs if job.job_id == said["job_id"]]
    assert (job.tenant, job.seed, job.backend, job.shots) == ("alice", 7, "fake_manila", 1024)
    parity = SparsePauliOp(job.observables[0].terms[0].pauli)
    exact = Statevector(qasm3.loads(job.circuits[0])).expectation_value(parity).real
    assert said["exact_probability"] == pytest.approx(shipped().answer(exact), abs=1e-9)


async def test_a_rejected_job_is_an_error_with_its_reasons(broker, served, issuer):
    async def reject(agents, job):
        await agents.publish(routed(job, None, ("no route offers QKD",)))

    async with answering(broker.bootstrap, reject), calling(served, issuer) as http:
        said = (await http.post("/api/v1/quantum/predict/async", json={"features": {}})).json()
        view = await _until(http, said["job_id"], "ERROR")
        assert (view["detail"], view["reasons"]) == ("REJECTED", ["no route offers QKD"])
        found = await http.get(said["result_url"])
        assert found.status_code == 409 and found.json()["state"] == "ERROR" and "no route offers QKD" in found.json()["detail"]


async def test_a_request_with_a_key_is_done_once(broker, served, issuer):
    async with calling(served, issuer) as http, Client(broker.bootstrap) as client:
        asked = {"json": {"features": {}}, "headers": {"Idempotency-Key": "k-1"}}
        both = await asyncio.gather(*(http.post("/api/v1/quantum/predict/async", **asked) for _ in range(3)))
        [job_id] = {answer.json()["job_id"] for answer in both}
        other = await http.post("/api/v1/quantum/predict/async", json={"features": {}, "shots": 9}, headers=asked["headers"])
        assert other.status_code == 422 and "Idempotency-Key" in other.json()["detail"]
        jobs = [event.record.job_id async for event in client.records(JobRequested)]
        assert jobs.count(job_id) == 1
        async with calling(served, issuer, sub="bob") as bob:
            assert (await bob.post("/api/v1/quantum/predict/async", **asked)).json()["job_id"] != job_id


async def test_a_key_holds_at_another_process_too(broker, settings, served, issuer):
    prediction = {"url": "/api/v1/quantum/predict/async", "json": {"features": {"alert": 1.0}}}
    feed = {"url": "/api/v1/threats", "content": json.dumps({**EVE, "flow_id": 77}).encode()}
    others = ({**prediction, "json": {"features": {}}}, {**feed, "content": json.dumps({**EVE, "flow_id": 78}).encode()})
    keyed = {"headers": {"Idempotency-Key": "held-1"}}
    async with calling(served, issuer) as http, Client(broker.bootstrap) as client:
        first = [(await http.post(**asked, **keyed)).json() for asked in (prediction, feed)]
        with serving(settings) as elsewhere:
            async with calling(elsewhere, issuer) as there:
                again = [await there.post(**asked, **keyed) for asked in (prediction, feed)]
                refused = [await there.post(**asked, **keyed) for asked in others]
        assert [answer.json() for answer in again] == first
        assert [answer.status_code for answer in refused] == [422, 422]
        jobs = [event.record.job_id async for event in client.records(JobRequested)]
        events = [event.record.event_id async for event in client.records(ThreatObserved)]
    assert (jobs.count(first[0]["job_id"]), events.count(first[1]["event_ids"][0])) == (1, 1)


async def test_jobs_of_others_are_not_there(served, issuer):
    async with calling(served, issuer) as http:
        job_id = (await http.post("/api/v1/quantum/predict/async", json={"features": {}})).json()["job_id"]
        missing = await http.get("/api/v1/quantum/jobs/job-1kajq5t3zx4g7mn")
    async with calling(served, issuer, sub="mallory") as http:
        foreign = await http.get(f"/api/v1/quantum/jobs/{job_id}")
        result = await http.get(f"/api/v1/quantum/results/{job_id}")
    assert {missing.status_code, foreign.status_code, result.status_code} == {404}
    async with calling(served, issuer, "auditor", sub="eve") as http:
        assert (await http.get(f"/api/v1/quantum/jobs/{job_id}")).status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "either features or event"),
        ({"features": {"alerts": 1.0}}, "no features alerts"),
        ({"features": {"alert": "NaN"}}, "finite"),
        ({"features": {}, "shots": 0}, "shots"),
        ({"features": {}, "shot": 10}, "shot"),
        ({"event": {"what": 1}}, "neither Suricata"),
    ],
)
async def test_what_cannot_be_predicted_is_refused_with_the_reason(served, issuer, body, words):
    async with calling(served, issuer) as http:
        answer = await http.post("/api/v1/quantum/predict/async", json=body)
    assert answer.status_code == 422 and words in answer.json()["detail"], answer.text


async def test_only_producers_produce_and_only_readers_read(served, issuer):
    async with calling(served, issuer, "reader") as http:
        assert (await http.post("/api/v1/quantum/predict/async", json={"features": {}})).status_code == 403
        assert (await http.post("/api/v1/threats", json=EVE)).status_code == 403
    async with calling(served, issuer, "producer") as http:
        assert (await http.get("/api/v1/threats/scores")).status_code == 403
    async with httpx.AsyncClient(base_url=served) as http:
        assert (await http.get("/api/v1/quantum/jobs/j")).status_code == 401


async def test_lines_become_events_and_what_cannot_is_named(broker, served, issuer):
    lines = b"\n".join([json.dumps(EVE).encode(), b"{broken", json.dumps({**EVE, "flow_id": 2}).encode()])
    async with calling(served, issuer) as http, Client(broker.bootstrap) as client:
        answer = await http.post("/api/v1/threats?format=suricata", content=lines, headers={"Idempotency-Key": "feed-1"})
        assert answer.status_code == 202, answer.text
        said = answer.json()
        assert (
            said["accepted"] == 2 and [one["line"] for one in said["refused"]] == [2] and "not JSON" in said["refused"][0]["reason"]
        )
        again = await http.post("/api/v1/threats?format=suricata", content=lines, headers={"Idempotency-Key": "feed-1"})
        assert again.json() == said
        found = [event async for event in client.records(ThreatObserved) if event.record.event_id in said["event_ids"]]
    assert len(found) == 2 and {event.event_id for event in found} == set(said["event_ids"])
    assert {event.record.raw for event in found} == {lines.splitlines()[0], lines.splitlines()[2]}


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"[1]"])
async def test_a_body_without_an_event_is_refused(served, issuer, body):
    async with calling(served, issuer) as http:
        answer = await http.post("/api/v1/threats", content=body)
    assert answer.status_code == 422 and "no event" in answer.json()["detail"]


async def test_an_array_is_as_good_as_lines(served, issuer):
    async with calling(served, issuer) as http:
        assert (await http.post("/api/v1/threats", json=[EVE, {**EVE, "flow_id": 3}])).json()["accepted"] == 2


async def test_findings_stream_and_go_on_where_they_stopped(broker, served, issuer):
    findings = [
        ThreatScored(
            event_id=f"sse-{number}", entity="h", risk_score=50.0, risk_level="MEDIUM", confidence=0.5, model="m",
            model_version="1", finding="{}",
        )
        for number in range(3)
    ]  # fmt: skip
    async with calling(served, issuer, "reader") as http, pipeline(broker.bootstrap) as agents:
        first = await _findings(http, agents, findings[:2], 2)
        assert {one["event_id"] for _, one in first} == {"sse-0", "sse-1"}
        await agents.publish(findings[2])
        more = await _findings(http, agents, [], 2, {"Last-Event-ID": max(place for place, _ in first)})
    assert {one["event_id"] for _, one in more} == {"sse-1", "sse-2"}


async def _findings(http, agents, send, count, headers=None):
    found, place = [], ""
    async with asyncio.timeout(30), http.stream("GET", "/api/v1/threats/scores", headers=headers or {}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line.startswith(": findings follow"):
                await asyncio.sleep(1.0)
                for record in send:
                    await agents.publish(record)
                    await asyncio.sleep(0.05)
            place = line[4:] if line.startswith("id: ") else place
            if line.startswith("data: "):
                found.append((place, json.loads(line[6:])))
                if len(found) == count:
                    return found
    return found


async def test_the_description_names_every_endpoint_of_the_issue(served):
    async with httpx.AsyncClient(base_url=served) as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    assert {
        "/api/v1/quantum/predict/async",
        "/api/v1/quantum/jobs/{job_id}",
        "/api/v1/quantum/results/{job_id}",
        "/api/v1/threats",
        "/api/v1/threats/scores",
    } <= paths.keys()
