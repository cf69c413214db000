"""Job files: what is accepted, and what a wrong one is told."""

import json

import pytest

from schemas.errors import InputError
from schemas.topics import MAX_EVENT_BYTES
from streams.jobfile import JobFileError, job_id, load_job

_QASM = "OPENQASM 3.0; qubit q;"


@pytest.fixture
def write(tmp_path):
    def write(content, name="job.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_circuits_may_stand_in_the_file_or_beside_it(write):
    inline = load_job(write({"circuits": [_QASM], "shots": 10}))
    write(_QASM, "bell.qasm")
    beside = load_job(write({"circuit_files": ["bell.qasm"], "shots": 10, "about": "a pair"}))
    assert inline.circuits == beside.circuits == (_QASM,)
    assert inline.shots == beside.shots == 10


def test_a_bare_circuit_is_a_job_for_counts(write):
    job = load_job(write(_QASM, "bell.qasm"))
    assert (job.circuits, job.observables, job.name) == ((_QASM,), (), "bell")


def test_a_job_gets_a_new_id_each_time_unless_it_has_one(write):
    path = write({"circuits": [_QASM], "name": "My job: no 1!"})
    first, second = load_job(path), load_job(path)
    assert first.job_id != second.job_id
    assert first.job_id.startswith("My-job-no-1-")
    assert load_job(write({"circuits": [_QASM], "job_id": "mine"})).job_id == "mine"


@pytest.mark.parametrize("name", ["", "...", "äöü", "x" * 500, "a/b c"])
def test_any_name_makes_a_valid_id(write, name):
    assert load_job(write({"circuits": [_QASM], "name": name})).job_id
    assert job_id(name) != job_id(name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{\n  "shots": 1,,\n}', "line 2, column 14"),
        ("[1, 2]", "one JSON object, not a list"),
        ('{"shots": 1, "shots": 2}', "'shots' stands twice"),
        ({"circuits": [_QASM], "shotss": 1}, "no field 'shotss'; did you mean 'shots'"),
        ({"circuits": [_QASM], "zzzzzzzz": 1}, "known are job_id"),
        ({"circuits": [_QASM], "circuit_files": ["a.qasm"]}, "not both"),
        ({"circuit_files": "a.qasm"}, "must be a list"),
        ({"circuit_files": ["missing.qasm"]}, "missing.qasm: No such file"),
        ({"shots": 1}, "circuits: Field required"),
        ({"circuits": []}, "circuits: "),
        ({"circuits": [_QASM], "shots": -1}, "shots: "),
        ('{"circuits": ["x"], "max_cost_usd": NaN}', "max_cost_usd: "),
        ({"circuits": [_QASM], "sla": {"max_eror": 1}}, "sla.max_eror: "),
        ({"circuits": [_QASM], "job_id": "no spaces"}, "job_id: "),
        ({"circuits": [_QASM], "name": 7}, "name: "),
        ("[" * 100_000, "recursion"),
        ("", "line 1"),
    ],
)
def test_a_wrong_file_is_told_where_and_what(write, content, words):
    path = write(content)
    with pytest.raises(JobFileError) as caught:
        load_job(path)
    assert words in str(caught.value)
    assert str(path.parent) in str(caught.value)
    assert isinstance(caught.value, InputError)


def test_a_missing_file_a_folder_and_another_kind_of_file_are_refused(tmp_path, write):
    with pytest.raises(JobFileError, match="No such file"):
        load_job(tmp_path / "none.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(JobFileError, match="directory"):
        load_job(tmp_path / "folder.json")
    with pytest.raises(JobFileError, match=r"\.json or \.qasm"):
        load_job(write("x", "job.yaml"))


def test_a_circuit_over_the_limit_is_refused_with_the_limit(write):
    write("/" * (MAX_EVENT_BYTES + 1), "large.qasm")
    with pytest.raises(JobFileError, match=f"at most {MAX_EVENT_BYTES}"):
        load_job(write({"circuit_files": ["large.qasm"]}))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "job.json"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(JobFileError, match="UTF-8"):
        load_job(path)
