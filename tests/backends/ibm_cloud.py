"""Stands in for IBM's cloud: its REST interface over real HTTP on loopback, as far as IBM's own client uses it.

Paths, fields, states and error bodies are those that `qiskit-ibm-runtime` 0.51 sends and reads; jobs are executed by the vendor's
own local executor on its fake Manila. What it cannot show: whether IBM's real service behaves so today.
"""

import base64
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

from ibm_quantum_schemas.executor.version_2_0.models import (
    CompressedTensorModel,
    ItemMetadataModel,
    MetadataModel,
    ParamsModel,
    QuantumProgramResultItemModel,
    QuantumProgramResultModel,
)
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS

from backends.ibm_fake import shipped

TOKEN = "an-api-key-that-must-never-be-seen"
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
DEVICE = "ibm_manila"

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Fault:
    """What is done to requests in place of their answer.

    Attributes:
        request: `METHOD path`, a regular expression.
        times: how often.
        before: whether it strikes before the request takes effect, or after it.
        hang: seconds without an answer.
    """

    request: str
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    before: bool = True
    hang: float = 0.0
    message: str = "a fault of the test's making"
    code: int = 1000


class Cloud:
    """The service. `with Cloud() as cloud:` serves on a free port."""

    def __init__(self) -> None:
        self.properties: dict[str, Any] = {**shipped("manila", "props"), "last_update_date": "2024-05-27T18:27:23Z"}  # IBM says UTC
        self.configuration: dict[str, Any] = {**shipped("manila", "conf"), "backend_name": DEVICE}
        self.status: dict[str, Any] = {"state": True, "status": "active", "length_queue": 3, "backend_version": "1"}
        self.polls_queued = 1
        self.polls_running = 1
        self.ends: list[dict[str, Any]] = []  # the final states of the next jobs, where they do not complete
        self.usage_seconds = 2.5
        self.jobs_taken: int | None = None  # how many before it takes no more
        self.token_is_valid = True
        self.faults: list[Fault] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.sessions: list[dict[str, Any]] = []
        self.seen: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    def __enter__(self) -> "Cloud":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What points IBM's client here: its own settings for the account services, ours for the runtime service."""
        return {
            "IAM_URL": self.url,
            "GLOBAL_SEARCH_URL": self.url,
            "GLOBAL_CATALOG_URL": f"{self.url}/catalog",
            "IBM_QUANTUM_URL": f"{self.url}/api/v1",
            "IBM_QUANTUM_TOKEN": TOKEN,
            "IBM_QUANTUM_INSTANCE": CRN,
            "IBM_QUANTUM_TIMEOUT_SECONDS": "2",
            "IBM_QUANTUM_POLL_SECONDS": "0.05",
            "IBM_QUANTUM_MODE": "job",
            "USAGE_DATA_OPT_OUT": "True",  # or IBM's client reads the sources of the whole call stack at every request
        }

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        url = urlparse(target)
        request = f"{method} {url.path.removeprefix('/api/v1')}"
        with self._lock:
            self.seen[re.sub(r"[0-9a-f]{8}-\d+", "ID", request)] += 1
            fault = next((each for each in self.faults if re.fullmatch(each.request, request) and each.times > 0), None)
            if fault is not None:
                fault.times -= 1
        if fault is not None and fault.before:
            return self._struck(fault)
        with self._lock:
            answer = self._answer(request, parse_qs(url.query), headers, body)
        return self._struck(fault) if fault is not None else answer

    def _struck(self, fault: Fault) -> Answer:
        time.sleep(fault.hang)
        return _json({"error": {"code": fault.code, "message": fault.message}}, fault.status, fault.headers)

    def _answer(self, request: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes) -> Answer:
        routes: list[tuple[str, Callable[..., Answer], bool]] = [
            (r"POST /identity/token", self._token, False),
            (r"POST /v3/resources/search", self._instances, False),
            (r"GET /catalog/(?P<plan>[^/]+)", self._plan, False),
            (r"GET /backends", self._backends, True),
            (rf"GET /backends/{DEVICE}/(?P<what>configuration|properties|status)", self._backend, True),
            (r"GET /instances/usage", self._usage, True),
            (r"POST /jobs", self._post, True),
            (r"GET /jobs", self._list, True),
            (r"GET /jobs/(?P<job>[^/]+)", self._get, True),
            (r"GET /jobs/(?P<job>[^/]+)/results", self._results, True),
            (r"GET /jobs/(?P<job>[^/]+)/metrics", self._metrics, True),
            (r"POST /jobs/(?P<job>[^/]+)/cancel", self._cancel, True),
            (r"POST /sessions", self._session, True),
            (r"PATCH /sessions/(?P<session>\w+)", self._close, True),
        ]
        for pattern, handle, guarded in routes:
            found = re.fullmatch(pattern, request)
            if found is None:
                continue
            if guarded and not (self.token_is_valid and headers.get("Authorization") == f"Bearer {_JWT}"):
                return _error(401, 1291, "Unable to verify the token.")
            if guarded and headers.get("Service-CRN") != CRN:
                return _error(403, 1290, "wrong instance")
            if found.groupdict().get("job", next(iter(self.jobs), "")) not in {*self.jobs, ""}:
                return _error(404, 1291, "Job not found.")
            return handle(query=query, body=body, **found.groupdict())
        return _error(404, 1200, f"no route for {request}")

    def _token(self, body: bytes, **_: Any) -> Answer:
        if not self.token_is_valid or parse_qs(body.decode()).get("apikey") != [TOKEN]:
            return _json({"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}, 400)
        valid = {"expires_in": 3600, "expiration": int(time.time()) + 3600, "token_type": "Bearer", "refresh_token": "none"}
        return _json({"access_token": _JWT, **valid})

    def _instances(self, **_: Any) -> Answer:
        instance = {"crn": CRN, "service_plan_unique_id": "plan", "name": "ours", "doc": {"extensions": [1]}, "tags": []}
        return _json({"items": [instance]})

    def _plan(self, **_: Any) -> Answer:
        return _json({"overview_ui": {"en": {"display_name": "Open"}}, "metadata": {"pricing": {"type": "free"}}})

    def _backends(self, **_: Any) -> Answer:
        return _json({"devices": [{"name": DEVICE, "status": {"name": "online"}, "queue_length": 3, "qubits": 5}]})

    def _backend(self, what: str, **_: Any) -> Answer:
        return _json(getattr(self, what))

    def _usage(self, **_: Any) -> Answer:
        return _json({"usage_consumed_seconds": 0, "usage_limit_reached": False})

    def _post(self, body: bytes, **_: Any) -> Answer:
        if self.jobs_taken is not None and len(self.jobs) >= self.jobs_taken:
            return _error(500, 1000, "no more jobs today")
        asked = json.loads(body)
        job = f"{len(self.jobs):08x}-{len(self.jobs)}"
        end = self.ends.pop(0) if self.ends else {"status": "Completed"}
        self.jobs[job] = {**asked, "id": job, "polls": 0, "end": end}
        return _json({"id": job, "backend": asked["backend"]})

    def _list(self, query: dict[str, list[str]], **_: Any) -> Answer:
        found = [job for job in self.jobs.values() if set(query.get("tags", [])) <= set(job.get("tags", []))]
        start = int(query.get("offset", ["0"])[0])
        page = found[start : start + int(query.get("limit", ["20"])[0])]
        return _json({"jobs": [self._shown(job) for job in page], "count": len(found)})

    def _get(self, job: str, **_: Any) -> Answer:
        self.jobs[job]["polls"] += 1
        return _json(self._shown(self.jobs[job]))

    def _results(self, job: str, **_: Any) -> Answer:
        if self._state(self.jobs[job])["status"] != "Completed":
            return 200, {"Content-Type": "text/plain"}, b"Traceback (of the vendor's making)"
        return 200, {"Content-Type": "application/json"}, _executed(self.jobs[job]["params"]).encode()

    def _metrics(self, **_: Any) -> Answer:
        return _json({"usage": {"status": "complete", "qpu_charge_time_seconds": self.usage_seconds}})

    def _cancel(self, job: str, **_: Any) -> Answer:
        if self._state(self.jobs[job])["status"] in ("Completed", "Failed"):
            return _error(409, 1254, "Job is in a final state.")
        self.jobs[job]["end"], self.jobs[job]["polls"] = {"status": "Cancelled"}, 10**9
        return 204, {}, b""

    def _session(self, body: bytes, **_: Any) -> Answer:
        self.sessions.append({**json.loads(body), "id": f"session{len(self.sessions)}", "accepting_jobs": True})
        return _json(self.sessions[-1])

    def _close(self, session: str, body: bytes, **_: Any) -> Answer:
        next(each for each in self.sessions if each["id"] == session).update(json.loads(body))
        return 204, {}, b""

    def _shown(self, job: dict[str, Any]) -> dict[str, Any]:
        kept = {name: job[name] for name in ("id", "backend", "tags", "session_id") if name in job}
        return {**kept, "program": {"id": job["program_id"]}, "created": "2026-01-01T00:00:00Z", "state": self._state(job)}

    def _state(self, job: dict[str, Any]) -> dict[str, Any]:
        if job["polls"] <= self.polls_queued:
            return {"status": "Queued"}
        return {"status": "Running"} if job["polls"] <= self.polls_queued + self.polls_running else job["end"]


def _executed(params: dict[str, Any]) -> str:
    model = ParamsModel.model_validate(params)
    program, _ = QUANTUM_PROGRAM_PARAMS_CONVERTERS["v2.0"].decoder(model)
    result = run_quantum_program(FakeManilaV2(), program, SimulatorOptions(seed_simulator=7))
    data = [
        QuantumProgramResultItemModel(
            results={name: CompressedTensorModel.from_numpy(array) for name, array in item.items()}, metadata=ItemMetadataModel()
        )
        for item in result
    ]
    answer = QuantumProgramResultModel(
        data=data,
        metadata=MetadataModel(chunk_timing=[]),
        passthrough_data=model.quantum_program.passthrough_data,
        semantic_role=model.quantum_program.semantic_role,
    )
    return answer.model_dump_json()


def _handler(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # headers and content in one segment

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, content = cloud.answer(self.command, self.path, dict(self.headers), body)
            try:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # the client gave up waiting
                self.close_connection = True

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815 - the standard library's names

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode()


def _error(status: int, code: int, message: str) -> Answer:
    return _json({"error": {"code": code, "message": message}}, status)


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


_JWT = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part({'iat': 1, 'exp': 4102444800})}.{_part({'none': 1})}"
