"""What a job's circuit hash depends on."""

import hashlib

from schemas.jobs import JobRequested

JOB = {
    "job_id": "job-1",
    "circuits": ("OPENQASM 3.0; qubit q;",),
    "observables": ({"name": "z", "terms": ({"pauli": "Z", "coefficient": 1.0},)},),
}


def test_the_circuit_hash_names_the_task_and_not_the_request():
    first = JobRequested(**JOB).circuit_hash
    assert first == JobRequested(**{**JOB, "job_id": "job-2", "seed": 7, "shots": 1}).circuit_hash
    changed = [
        {"circuits": ("OPENQASM 3.0; qubit p;",)},
        {"circuits": JOB["circuits"] * 2},
        {"observables": ()},
        {"observables": ({"name": "z", "terms": ({"pauli": "Z", "coefficient": 2.0},)},)},
    ]
    assert len({first, *(JobRequested(**{**JOB, **change}).circuit_hash for change in changed)}) == 5


def test_the_circuit_hash_is_the_documented_one():
    # sha256 of the canonical JSON, written out by hand
    circuit = hashlib.sha256(b"OPENQASM 3.0; qubit q;").hexdigest()
    observables = '[{"name":"z","terms":[{"coefficient":1,"pauli":"Z"}]}]'
    text = f'{{"circuits":["{circuit}"],"observables":{observables}}}'
    assert JobRequested(**JOB).circuit_hash == hashlib.sha256(text.encode()).hexdigest()
