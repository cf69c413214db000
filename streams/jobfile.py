"""Job files: what `quantumai submit` reads. JSON with the fields of `JobRequested`, or a bare OpenQASM 3 file.

Two keys are the file's own: `circuit_files` names OpenQASM files beside it in place of `circuits`, and `about` is for people.
"""

import difflib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.codec import explain
from schemas.errors import InputError
from schemas.jobs import JobRequested
from schemas.topics import MAX_EVENT_BYTES
from streams.errors import StreamsError
from streams.job_ids import job_id

_OWN_KEYS = ("about", "circuit_files")


class JobFileError(StreamsError, InputError):
    """A job file that cannot be read, or does not describe a job."""


def load_job(path: Path) -> JobRequested:
    """The job in a `.json` or `.qasm` file; without a `job_id` of its own it gets a new one with its name.

    A bare `.qasm` file is a job for counts with the default number of shots.

    Raises:
        JobFileError: a sentence that names the file, and the line or the field.
    """
    if path.suffix == ".qasm":
        fields: dict[str, Any] = {"circuits": [_read(path)]}
    elif path.suffix == ".json":
        fields = _with_circuits(_object(path), path)
    else:
        raise JobFileError(f"{path}: a job file ends in .json or .qasm")
    name = fields.setdefault("name", path.stem)
    fields.setdefault("job_id", job_id(name if isinstance(name, str) else ""))
    try:
        return JobRequested.model_validate(fields)
    except ValidationError as error:
        raise JobFileError(f"{path}: {explain(error)}") from error


def _with_circuits(fields: dict[str, Any], path: Path) -> dict[str, Any]:
    """The fields of the record, with the circuit files read."""
    known = [*JobRequested.model_fields, *_OWN_KEYS]
    for key in fields:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise JobFileError(f"{path}: a job has no field {key!r}; {hint}")
    fields.pop("about", None)
    names = fields.pop("circuit_files", None)
    if names is None:
        return fields
    if "circuits" in fields:
        raise JobFileError(f"{path}: give either `circuits` or `circuit_files`, not both")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise JobFileError(f"{path}: circuit_files must be a list of file names")
    return fields | {"circuits": [_read(path.parent / name) for name in names]}


def _object(path: Path) -> dict[str, Any]:
    text = _read(path)
    try:
        content = json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        raise JobFileError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise JobFileError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise JobFileError(f"{path}: a job file holds one JSON object, not a {type(content).__name__}")
    return content


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the field {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return content


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JobFileError(f"{path}: {error.strerror or error}") from error
    if len(content) > MAX_EVENT_BYTES:
        raise JobFileError(f"{path}: {len(content)} bytes, but an event holds at most {MAX_EVENT_BYTES}; split the job")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise JobFileError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
