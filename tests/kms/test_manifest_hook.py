"""Any run manifests itself: with, async with, and decorated functions; what failed has a manifest, too."""

import asyncio
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kms.envelope import verify_envelope
from kms.errors import KeyRingError, MalformedManifest
from kms.hook import manifest, signing


@pytest.fixture(scope="session")
def sign(ring):
    return signing(ring)


def sha256(content):
    return {"sha256": hashlib.sha256(content).hexdigest()}


def said(run):
    return json.loads(run.envelope.payload)


def test_a_run_says_what_went_in_and_came_out_and_is_signed(sign, ring, tmp_path):
    (tmp_path / "circuit.qasm").write_text("OPENQASM 3.0;")
    with manifest(job_id="vqe-1", backend="ibm_qpu_1", em_method="zne", sign=sign, software=["numpy"]) as run:
        run.input("circuit", tmp_path / "circuit.qasm")
        run.input("observable", "ZZ")
        run.output("counts", {"00": 510, "11": 514})
        run.output("raw", b"\x01\x02")
        run.shots, run.seeds["sampler"] = 1024, 2**63
    assert [link.name for link in verify_envelope(run.envelope, ring.public())][-1] == "subject"
    body = said(run)
    assert body["subject"] == [
        {"name": "counts", "digest": sha256(b'{"00":510,"11":514}')},
        {"name": "raw", "digest": sha256(b"\x01\x02")},
    ]
    told = body["predicate"]
    assert told["inputs"] == [
        {"name": "circuit", "digest": sha256(b"OPENQASM 3.0;")},
        {"name": "observable", "digest": sha256(b"ZZ")},
    ]
    assert (told["shots"], told["seeds"], told["backend"]) == (1024, {"sampler": str(2**63)}, "ibm_qpu_1")
    assert told["software"]["numpy"] == np.__version__
    assert told["run"]["outcome"] == "completed" and told["run"]["started_at"] <= told["run"]["finished_at"]


def test_a_failed_run_has_a_manifest_without_the_errors_message(sign):
    with pytest.raises(ValueError, match="secret"), manifest(job_id="vqe-2", sign=sign) as run:
        run.input("angle", 0.5)
        raise ValueError("the secret is 1234")
    assert said(run)["predicate"]["run"]["outcome"] == "failed"
    assert said(run)["predicate"]["run"]["error"] == "ValueError"
    assert b"1234" not in run.envelope.payload


def test_a_manifest_that_cannot_be_signed_is_an_error_and_hides_none():
    def refuse(_):
        raise KeyRingError("the ring is gone")

    with pytest.raises(KeyRingError, match="gone"), manifest(job_id="a", sign=refuse):
        pass
    with pytest.raises(ZeroDivisionError) as seen, manifest(job_id="a", sign=refuse):
        1 / 0  # noqa: B018
    assert "the ring is gone" in seen.value.__notes__[0]


def test_each_call_of_a_function_has_a_manifest_of_its_own():
    runs = []

    @manifest(job_id=lambda angle, **_: f"angle-{angle}", to=runs.append)
    def expectation(angle, observables=("Z",)):
        """Of a qubit."""
        return np.array([angle, 2.0])

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(expectation, range(20)))
    assert expectation.__doc__ == "Of a qubit." and results[3].tolist() == [3.0, 2.0]
    by_job = {run.statement.predicate.job.job_id: run.statement for run in runs}
    assert sorted(by_job) == sorted(f"angle-{at}" for at in range(20))
    third = by_job["angle-3"].document()
    assert third["predicate"]["inputs"] == [{"name": "angle", "digest": sha256(b"3")}]
    assert third["subject"] == [{"name": "result", "digest": sha256(b"d (2,) " + np.array([3.0, 2.0]).tobytes())}]


def test_what_has_no_digest_is_named():
    runs = []

    @manifest(job_id="x", to=runs.append)
    def work(thing):
        return object()

    work(object())
    assert runs[0].statement.predicate.parameters == {"undigested": ["thing: builtins.object", "result: builtins.object"]}
    with pytest.raises(MalformedManifest, match=r"'thing' has no digest \(builtins.object"), manifest(job_id="x") as run:
        run.input("thing", object())


async def test_async_runs_side_by_side_do_not_mix(sign):
    runs = []

    @manifest(job_id=lambda name: name, sign=sign, to=runs.append)
    async def work(name):
        await asyncio.sleep(0.01)
        if name == "bad":
            raise TimeoutError
        return name.upper()

    found = await asyncio.gather(*(work(name) for name in ("a", "b", "bad")), return_exceptions=True)
    assert found[:2] == ["A", "B"] and isinstance(found[2], TimeoutError)
    outcomes = {said(run)["predicate"]["job"]["job_id"]: said(run)["predicate"]["run"]["outcome"] for run in runs}
    assert outcomes == {"a": "completed", "b": "completed", "bad": "failed"}
    async with manifest(job_id="c") as run:
        run.output("x", "y")
    assert run.statement.subject[0].name == "x" and run.envelope is None


@pytest.mark.parametrize(("value", "content"), [("é", "é".encode()), (b"x", b"x"), ([1, None, {"b": 1, "a": 2.5}], None)])
def test_digests_are_of_the_value_as_it_is(value, content):
    with manifest(job_id="x") as run:
        run.output("it", value)
    expected = content if content is not None else b'[1,null,{"a":2.5,"b":1}]'
    assert run.statement.subject[0].digest.sha256 == hashlib.sha256(expected).hexdigest()
