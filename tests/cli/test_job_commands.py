"""submit, jobs, result, cancel; agents are stood in for by what they would publish."""

import asyncio
import json
import re
import threading

import pytest
from fake_pipeline import BELL, answering, completed, job_fields, routed

from schemas.jobs import JobRequested
from schemas.topics import MAX_EVENT_BYTES


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "bell.json"
    path.write_text(json.dumps({"circuits": [BELL], "observables": job_fields()["observables"], "name": "a Bell pair"}))
    return path


@pytest.fixture
def agents(broker):
    """Starts agents that answer each job in the way given, in a thread, until the test is over."""
    stop, started, threads = threading.Event(), threading.Event(), []

    def start(answer):
        async def serve():
            async with answering(broker.bootstrap, answer):
                started.set()
                await asyncio.to_thread(stop.wait)

        threads.append(threading.Thread(target=lambda: asyncio.run(serve())))
        threads[-1].start()
        assert started.wait(20)

    yield start
    stop.set()
    for thread in threads:
        thread.join()


async def _complete(agents, job):
    await agents.complete(job)


async def _reject(agents, job):
    await agents.publish(routed(job, backend=None, reasons=("no candidate is left",)))


def test_a_job_is_submitted_and_its_id_is_all_that_is_printed(on, file):
    said = on("submit", file)
    assert said.exit_code == 0
    [job_id] = said.stdout.split()
    assert job_id.startswith("a-Bell-pair-")
    listed = on("jobs", "--json", "--since", "1m")
    assert json.loads(next(line for line in listed.stdout.splitlines() if job_id in line))["state"] == "REQUESTED"


def test_submit_and_watch_shows_the_estimate_with_its_error(on, file, agents):
    agents(_complete)
    said = on("submit", file, file, "--watch", "--timeout", "30")
    assert said.exit_code == 0
    assert len(re.findall(r"0\.98000 +0\.01000 +0\.90000", said.stdout)) == 2
    job_id = said.stdout.split()[0]
    again = on("result", job_id)
    assert (again.exit_code, "0.98000" in again.stdout, "$0.5000" in again.stdout) == (0, True, True)
    found = json.loads(on("result", job_id, "--json").stdout)
    assert (found["state"], found["backend"], found["method"]) == ("DONE", "fake_lima", "zne")
    assert found["result"]["expectations"][0]["value"] == 0.98
    assert job_id in on("jobs", "--since", "5m").stdout


def test_a_result_says_what_its_method_did_otherwise_and_has_no_control_where_none_was_run(on, file, publish):
    job_id = on("submit", file).stdout.strip()
    listed = next(line for line in on("jobs", "--json").stdout.splitlines() if job_id in line)
    request = JobRequested.model_validate(json.loads(listed)["requested"])
    done = completed(request)
    (estimate,) = (each.model_copy(update={"raw_value": None}) for each in done.expectations)
    note = "circuit 0, parity: raw stands in: the circuit is unlike what the model knows [0.9 > 0.5]"
    done = done.model_copy(update={"expectations": (estimate,), "parameters": {"notes": note}})
    publish(lambda agents: agents.publish(routed(request), done))
    said = on("result", job_id)
    assert said.exit_code == 0, said.output
    assert f"note: {note}" in said.stdout
    assert re.search(r"0\.98000 +0\.01000 *\n", said.stdout)


def test_a_rejection_shows_all_reasons_and_is_exit_status_1(on, file, agents):
    agents(_reject)
    said = on("submit", file, "--watch", "--timeout", "30")
    assert said.exit_code == 1
    for words in ("REJECTED", "no candidate is left", "fake_lima: no route offers QKD"):
        assert words in said.stdout
    again = on("result", said.stdout.split()[0])
    assert (again.exit_code, "no route offers QKD" in again.stdout) == (1, True)


def test_a_job_that_failed_says_why(on, file, publish):
    job_id = on("submit", file).stdout.strip()

    listed = next(line for line in on("jobs", "--json").stdout.splitlines() if job_id in line)
    request = JobRequested.model_validate(json.loads(listed)["requested"])
    publish(lambda agents: agents.publish(routed(request), completed(request, "ERROR", "the backend [lost] it")))
    said = on("result", job_id)
    assert (said.exit_code, "the backend [lost] it" in said.stdout) == (1, True)


def test_waiting_ends_with_a_sentence(on, file):
    job_id = on("submit", file).stdout.strip()
    said = on("result", job_id, "--timeout", "0.5")
    assert (said.exit_code, "was REQUESTED after 0.5 s; it goes on" in said.stderr) == (1, True)
    said = on("submit", file, "--watch", "--timeout", "0.5")
    assert (said.exit_code, "not over after 0.5 s" in said.stderr) == (1, True)
    assert said.stdout.endswith("\n"), "what comes next in a log begins a line"


def test_jobs_that_nobody_requested_are_named(on):
    for arguments in (("result", "nothing"), ("cancel", "nothing")):
        said = on(*arguments)
        assert (said.exit_code, "no job nothing was requested" in said.stderr) == (1, True)


def test_a_cancel_stands_in_its_topic(on, file):
    job_id = on("submit", file).stdout.strip()
    assert on("cancel", job_id, "--reason", "too dear").exit_code == 0
    found = [json.loads(line) for line in on("replay", "job.cancel", "--from", "1m").stdout.splitlines()]
    assert [line["record"]["reason"] for line in found if line["key"] == job_id] == ["too dear"]


def test_one_bad_file_keeps_all_from_being_sent(on, file, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"circuits": ["x"], "shotss": 1}')
    before = len(on("replay", "job.requested").stdout.splitlines())
    said = on("submit", file, bad)
    assert (said.exit_code, "no field 'shotss'" in said.stderr, said.stdout) == (1, True, "")
    assert len(on("replay", "job.requested").stdout.splitlines()) == before


def test_a_job_over_the_limit_is_refused_with_limit_and_size(on, tmp_path):
    file = tmp_path / "large.json"
    file.write_text(json.dumps({"circuits": ["/" * (MAX_EVENT_BYTES // 2), "/" * (MAX_EVENT_BYTES // 2 - 300)]}))
    said = on("submit", file)
    assert said.exit_code == 1
    assert f"{MAX_EVENT_BYTES}" in said.stderr.replace(",", "")
    assert said.stderr.count("\n") == 1
