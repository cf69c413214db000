"""The key service on a socket, over TLS, with real tokens of both kinds."""

import base64
import json
import signal
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from running import BASE, MODULES, QUANTUMAI, ClientCa, Service
from test_door import assert_problem

from api.roles import Role
from kms.tls.authority import read_roots
from kms.tls.channel import connect
from kms.tls.contexts import client_context
from kms.tls.policies import policy

DATA = base64.b64encode(b"data").decode()


def started(kind, folder, **environment):
    if not MODULES[kind].is_file():
        pytest.skip(f"{MODULES[kind]} is not there")
    return Service(kind, folder, **environment).start()


@pytest.fixture(scope="module", params=sorted(MODULES))
def kms(request, tmp_path_factory):
    service = started(request.param, tmp_path_factory.mktemp(request.param))
    yield service
    service.stop()
    assert "whole:" in service.command("kms", "audit", "verify")
    service.end()


@pytest.fixture
def made(kms, request):
    """Makes a key of a use that no other test has; its name."""

    def make(algorithm):
        use = f"t{abs(hash(request.node.name)):x}"[:20]
        answer = kms.ask("POST", "/keys", "admin", json={"use": use, "algorithm": algorithm})
        assert answer.status_code == 201, answer.text
        return f"{use}:{algorithm}"

    return make


@pytest.mark.parametrize("algorithm", ["Ed25519", "ML-DSA-65"])
def test_another_library_verifies_what_it_signs(kms, made, algorithm):
    name = made(algorithm)
    signed = kms.ask("POST", f"/keys/{name}/sign", "signer", json={"data": DATA}).json()
    pem = kms.ask("GET", f"/keys/{name}:1/public", "reader").content
    load_pem_public_key(pem).verify(base64.b64decode(signed["signature"]), b"data")
    claim = {"data": DATA, "signature": signed["signature"]}
    assert kms.ask("POST", f"/keys/{name}/verify", "auditor", json=claim).json()["valid"] is True
    other = {**claim, "data": base64.b64encode(b"other").decode()}
    verdict = kms.ask("POST", f"/keys/{signed['kid'][:8]}/verify", "auditor", json=other).json()
    assert (verdict["valid"], verdict["kid"]) == (False, signed["kid"])
    assert "does not verify" in verdict["reason"]


def test_what_another_library_encapsulates_it_decapsulates(kms, made):
    name = made("ML-KEM-768")
    raw = kms.ask("GET", f"/keys/{name}/public", "signer", params={"format": "raw"}).content
    secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(raw).encapsulate()
    sent = {"ciphertext": base64.b64encode(ciphertext).decode()}
    answer = kms.ask("POST", f"/keys/{name}/decapsulate", "signer", json=sent)
    assert base64.b64decode(answer.json()["shared_secret"]) == secret
    assert answer.headers["cache-control"] == "no-store"
    ours = kms.ask("POST", f"/keys/{name}/encapsulate", "signer").json()
    again = kms.ask("POST", f"/keys/{name}/decapsulate", "signer", json={"ciphertext": ours["ciphertext"]}).json()
    assert again["shared_secret"] == ours["shared_secret"]


def test_public_keys_in_every_form(kms, made):
    name = made("ECDSA-P384")
    forms = {
        form: kms.ask("GET", f"/keys/{name}/public", "reader", params={"format": form}) for form in ("pem", "der", "raw", "jwk")
    }
    assert load_pem_public_key(forms["pem"].content) == load_der_public_key(forms["der"].content)
    assert forms["der"].content.endswith(forms["raw"].content)
    assert forms["jwk"].json()["alg"] == "ES384"
    assert_problem(kms.ask("GET", f"/keys/{name}/public", "reader", params={"format": "pkcs8"}), 422, "no form 'pkcs8'")


def test_a_key_from_its_making_to_its_end(kms, made):
    name = made("Ed25519")
    use = name.partition(":")[0]
    later = {"use": use, "algorithm": "Ed25519", "at": "2090-01-01T00:00:00Z"}
    assert kms.ask("POST", "/rotate", "admin", json=later).json()["state"] == "pre-active"
    assert_problem(kms.ask("POST", f"/keys/{name}:2/sign", "signer", json={"data": DATA}), 409, "is pre-active and may not sign")
    assert_problem(kms.ask("POST", f"/keys/{name}:1/destroy", "admin"), 409, "disable it first")
    changes = [
        kms.ask("POST", f"/keys/{name}:1/{change}", "admin").json()["state"] for change in ("disable", "deprecate", "destroy")
    ]
    assert changes == ["verify-only", "deprecated", "destroyed"]
    assert_problem(kms.ask("POST", f"/keys/{name}:1/sign", "signer", json={"data": DATA}), 409, "is destroyed")
    assert kms.ask("POST", f"/keys/{name}:2/schedule", "admin", json={"at": "2091-01-01T00:00:00Z"}).status_code == 200
    assert kms.ask("POST", f"/keys/{name}:2/revoke", "admin").json()["state"] == "revoked"
    states = {key["version"]: key["state"] for key in kms.ask("GET", "/keys", "auditor", params={"use": use}).json()}
    assert states == {1: "destroyed", 2: "revoked"}


@pytest.mark.parametrize(
    ("request_line", "body", "status", "words"),
    [
        ("POST /keys", {"use": "x", "algorithm": "ROT13"}, 422, "no algorithm 'ROT13'"),
        ("POST /keys", {"use": "No|Use", "algorithm": "Ed25519"}, 422, "no name of a use"),
        ("POST /keys", {"use": "x"}, 422, "body/algorithm"),
        ("POST /keys", {"use": "x", "algorithm": "Ed25519", "more": 1}, 422, "body/more"),
        ("POST /rotate", {"use": "x", "algorithm": "Ed25519", "at": "2020-01-01T00:00:00Z"}, 409, "is past"),
        ("POST /rotate", {"use": "x", "algorithm": "Ed25519", "at": "2090-01-01T00:00:00"}, 422, "timezone"),
        ("GET /keys/nothing:Ed25519:1", None, 404, "there is no key"),
        ("GET /keys/nothing", None, 404, "there is no key"),
        ("POST /keys/nothing/sign", {"data": DATA}, 404, "there is no key"),
        ("POST /keys/nothing/sign", {"data": "no base64!"}, 422, "body/data"),
        ("GET /audit?from=3", None, 422, "no entry begins at 3"),
        ("GET /audit?limit=100000", None, 422, "query/limit"),
        ("POST /keys", "x" * 1_100_000, 413, "1,048,576 bytes"),
    ],
)
def test_what_cannot_be_is_a_problem_that_says_so(kms, request_line, body, status, words):
    method, path = request_line.split(" ")
    how = {"content": body} if isinstance(body, str) else {"json": body} if body else {}
    assert_problem(kms.ask(method, path, "admin", "signer", "auditor", **how), status, words)


def test_keys_that_sign_what_we_believe_sign_no_bytes_of_a_caller(kms):
    for use in ("audit", "api-token", "tls-ca"):
        answer = kms.ask("POST", f"/keys/{use}:ECDSA-P384/sign", "signer", json={"data": DATA})
        assert_problem(answer, 422, f"keys of the use {use} are for")


def test_each_endpoint_admits_its_roles_and_no_others(kms):
    with kms.client() as client:
        described = client.get("/openapi.json").json()
    operations = [(path, method, about) for path, methods in described["paths"].items() for method, about in methods.items()]
    guarded = [(path, method, about) for path, method, about in operations if path.startswith(BASE)]
    assert len(guarded) == 17
    assert {path for path, _, about in operations if "x-roles" not in about} == {"/health/live", "/health/ready"}
    for path, method, about in guarded:
        place = path.removeprefix(BASE).replace("{name}", "nothing")
        for role in Role:
            answer = kms.ask(method.upper(), place, role.value, content=b"{")
            assert (answer.status_code == 403) is (role.value not in about["x-roles"]), (path, role)
        assert_problem(kms.ask(method.upper(), place), 401)


def test_a_client_certificate_stands_for_whom_the_file_says(kms):
    billing, spiffe, nobody = kms.ca.issue("billing"), kms.ca.issue("other", "spiffe://tests/batch"), kms.ca.issue("nobody")
    kms.publish_clients(
        {"name": "billing", "certificate": "O=Tests,CN=billing", "roles": ["auditor"]},
        {"name": "batch", "certificate": "URI:spiffe://tests/batch", "roles": ["signer"]},
    )
    assert kms.ask("GET", "/keys", certificate=billing).status_code == 200
    assert_problem(kms.ask("POST", "/keys", certificate=billing, json={}), 403, "billing has auditor")
    assert kms.ask("GET", "/keys", certificate=spiffe).status_code == 200
    assert_problem(kms.ask("GET", "/keys", certificate=nobody), 401, "stands for nobody")
    assert kms.ask("POST", "/keys", "admin", certificate=nobody, content=b"{").status_code == 422  # the token decides
    kms.publish_clients()
    assert_problem(kms.ask("GET", "/keys", certificate=billing), 401, "stands for nobody")
    (kms.home / "clients.json").write_text('{"clients": [{"name": "billing"}]}')
    assert_problem(kms.ask("GET", "/keys", certificate=billing), 503, "does not say which client certificates")
    actors = {entry["actor"] for entry in kms.audit()}
    assert {"billing", "batch", "anonymous"} <= actors


def test_a_certificate_of_another_ca_does_not_come_through(kms):
    stranger = ClientCa(kms.folder, "strangers").issue("billing")
    with pytest.raises((httpx.HTTPError, ssl.SSLError)):
        kms.ask("GET", "/keys", certificate=stranger)


def test_each_access_is_in_the_audit_and_so_is_what_was_denied(kms, made):
    name = made("Ed25519")
    kms.ask("POST", f"/keys/{name}/sign", "signer", json={"data": DATA})
    kms.ask("POST", f"/keys/{name}/sign", "reader", json={"data": DATA})
    kms.ask("POST", f"/keys/{name}/sign", json={"data": DATA})
    answer = kms.ask("POST", f"/keys/{name}:7/sign", "signer", json={"data": DATA})
    found = [entry for entry in kms.audit() if f"/keys/{name}" in entry.get("detail", "")]
    told = [(entry["actor"], entry["action"], entry["outcome"], entry["status"], entry["kid"] != "none") for entry in found]
    assert told == [
        ("signer@tests", "sign", "SUCCESS", 200, True),
        ("reader@tests", "sign", "DENIED", 403, False),
        ("anonymous", "sign", "DENIED", 401, False),
        ("signer@tests", "sign", "FAILURE", 404, False),
    ]
    assert found[-1]["request_id"] == answer.headers["x-request-id"]
    assert {entry["source"] for entry in found} == {"127.0.0.1"}
    page = kms.ask("GET", "/audit", "auditor", params={"limit": 2}).json()
    rest = kms.ask("GET", "/audit", "auditor", params={"from": page["next"], "limit": 1000}).json()
    assert (page["entries"] + rest["entries"])[: len(page["entries"]) + 1] == kms.audit()[:3]


def test_no_credential_and_no_secret_is_in_a_log_or_the_audit(kms, made):
    name = made("ML-KEM-768")
    secret = kms.ask("POST", f"/keys/{name}/encapsulate", "signer").json()["shared_secret"]
    pin = (kms.home / "token" / "pin").read_text().strip()
    kept = {path: path.read_bytes() for path in kms.folder.rglob("*") if path.is_file() and path.name != "pin"}
    assert {"serve.log", "audit.jsonl", "trust.json"} <= {path.name for path in kept}
    for word in (secret, pin, kms.token("signer"), kms.token("signer").rpartition(".")[2]):
        assert not [path for path, content in kept.items() if word.encode() in content]


def test_a_revoked_key_of_tokens_lets_nobody_in(kms):
    token = kms.command("token", "issue", "--subject", "short", "--role", "auditor", "--algorithm", "Ed25519").strip()
    with kms.client() as client:
        headers = {"authorization": f"Bearer {token}"}
        assert client.get(f"{BASE}/keys", headers=headers).status_code == 200
        kms.command("kms", "revoke", "api-token/Ed25519/1", "--yes")
        assert_problem(client.get(f"{BASE}/keys", headers=headers), 401, "revoked")


def test_many_at_once(kms, made):
    name = made("Ed25519")
    public = load_pem_public_key(kms.ask("GET", f"/keys/{name}/public", "signer").content)
    header = {"authorization": f"Bearer {kms.token('signer')}"}
    with kms.client() as client, ThreadPoolExecutor(8) as pool:

        def sign(number):
            data = f"data {number}".encode()
            answer = client.post(f"{BASE}/keys/{name}/sign", headers=header, json={"data": base64.b64encode(data).decode()})
            public.verify(base64.b64decode(answer.json()["signature"]), data)

        list(pool.map(sign, range(80)))


def test_a_token_that_is_pulled_out_under_load_and_wrong_pins_of_others_end_no_service(kms, made):
    """Eight clients sign meanwhile; each is answered, with a signature or with 503 in a sentence.

    SoftHSM2 does not find a key again in the same process that was used while its file was away: the sentence says what to do.
    """
    name, header = made("ECDSA-P256"), {"authorization": f"Bearer {kms.token('signer')}"}
    kid = kms.ask("GET", f"/keys/{name}", "signer").json()["kid"]
    statuses, over, token, away = [], threading.Event(), kms.home / "token", kms.folder / "away"

    def sign_on(client):
        while not over.is_set():
            answer = client.post(f"{BASE}/keys/{kid}/sign", headers=header, json={"data": DATA})
            if answer.status_code != 200:
                assert_problem(answer, 503, "token")
            statuses.append(answer.status_code)

    wrong = {**kms.environment, "QUANTUMAI_TOKEN_PIN": "not-the-pin"}
    with kms.client() as client, ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(sign_on, client) for _ in range(8)]
        try:
            token.rename(away)
            time.sleep(0.5)
            away.rename(token)
            tried = subprocess.run(
                [QUANTUMAI, "kms", "create", "x/Ed25519"], env=wrong, capture_output=True, text=True, check=False
            )
        finally:
            over.set()
        for done in clients:
            done.result()
    assert "refuses the PIN" in tried.stderr
    assert set(statuses) <= {200, 503} and len(statuses) > 40
    assert kms.process.poll() is None
    answer = kms.ask("POST", f"/keys/{name}/sign", "signer", json={"data": DATA})
    if answer.status_code != 200:
        assert_problem(answer, 503, "restart")
        kms.stop()
        kms.start()
        answer = kms.ask("POST", f"/keys/{name}/sign", "signer", json={"data": DATA})
    assert answer.status_code == 200, answer.text
    assert kms.audit()[-1]["action"] in {"sign", "audit.seal"}
    assert [entry for entry in kms.audit() if entry["action"] == "token.login" and entry["outcome"] == "DENIED"]


def test_a_slow_signature_holds_up_nobody_who_needs_no_token(kms, made):
    """SLH-DSA-SHA2-128s takes its time in the token; the event loop goes on."""
    name, done = made("SLH-DSA-SHA2-128s"), threading.Event()

    def sign():
        assert kms.ask("POST", f"/keys/{name}/sign", "signer", json={"data": DATA}).status_code == 200
        done.set()

    thread = threading.Thread(target=sign)
    with kms.client() as client:
        client.get("/health/live")
        thread.start()
        answered = 0
        while not done.is_set():
            assert client.get("/health/live").status_code == 200
            answered += not done.is_set()
        thread.join()
    assert answered > 2


def test_commands_are_recorded_and_so_are_those_that_failed(kms):
    before = len(kms.audit())
    kms.command("kms", "create", "byhand/Ed25519")
    kms.command("kms", "policy", "byhand/Ed25519", "--max-age", "90d")
    kms.command("kms", "disable", "byhand/Ed25519/1", "--yes")
    assert "cannot be disabled" in kms.command("kms", "disable", "byhand/Ed25519/1", "--yes", status=1)
    assert "not imported" in kms.command("kms", "import", "byhand/Ed25519", status=1)
    found = [entry for entry in kms.audit()[before:] if entry["actor"].startswith("cli:") and entry["action"] != "audit.seal"]
    told = [(entry["action"], entry["outcome"], "byhand/Ed25519" in entry["detail"]) for entry in found]
    assert told == [
        ("create", "SUCCESS", True),
        ("policy", "SUCCESS", True),
        ("disable", "SUCCESS", True),
        ("disable", "FAILURE", True),
        ("import", "DENIED", True),
    ]
    assert kms.audit()[-1]["action"] == "audit.seal"


def test_certificates_of_the_ca_are_recorded(kms):
    [first, *_] = [entry for entry in kms.audit() if entry["action"] == "issue"]
    key = kms.ask("GET", "/keys/tls-ca:ECDSA-P384", "auditor").json()
    assert first["kid"] == key["kid"]
    assert "for localhost, 127.0.0.1" in first["detail"]


def test_the_command_line_finds_what_was_done_to_the_audit(kms, tmp_path):
    for _ in range(8):
        kms.ask("GET", "/keys")
    lines = (kms.home / "audit.jsonl").read_bytes().splitlines(keepends=True)
    copy = tmp_path / "audit.jsonl"
    for changed, words in (
        ([*lines[:5], *lines[6:]], "entry 6 is missing"),
        ([*lines[:5], lines[6], lines[5], *lines[7:]], "entry 6 stands behind entry 7"),
        ([*lines[:6], *lines[5:]], "stands twice"),
        ([*lines[:5], lines[5].replace(b'"actor":"', b'"actor":"x'), *lines[6:]], "entry 6"),
        ([*lines[:-1], lines[-1][:-1]], "has no end"),
    ):
        copy.write_bytes(b"".join(changed))
        said = kms.command("kms", "audit", "verify", copy, status=1)
        assert words in said and "Traceback" not in said
    memory = tmp_path / "memory"
    copy.write_bytes(b"".join(lines))
    kms.command("kms", "audit", "verify", copy, "--remember", memory)
    last_seal = max(at for at, line in enumerate(lines[:-1]) if b'"audit.seal"' in line)
    copy.write_bytes(b"".join(lines[: last_seal + 1]))
    assert "missing at its end" in kms.command("kms", "audit", "verify", copy, "--remember", memory, status=1)
    exported = kms.command("kms", "audit", "export", "--format", "ocsf").splitlines()
    assert [json.loads(line)["class_uid"] for line in exported] == [6003] * len(kms.audit())
    assert kms.command("kms", "audit", "export", "--format", "jsonl").encode() == (kms.home / "audit.jsonl").read_bytes()


def test_a_killed_service_has_recorded_all_that_it_answered(tmp_path):
    service = started("kryoptic", tmp_path)
    try:
        service.ask("POST", "/keys", "admin", json={"use": "x", "algorithm": "Ed25519"})
        answered, header = [], {"authorization": f"Bearer {service.token('signer')}"}

        def sign_on():
            with service.client() as client:
                while True:
                    try:
                        answer = client.post(f"{BASE}/keys/x:Ed25519/sign", headers=header, json={"data": DATA})
                    except httpx.HTTPError:
                        return
                    assert answer.status_code == 200
                    answered.append(answer.headers["x-request-id"])

        for _ in range(1):
            threads = [threading.Thread(target=sign_on) for _ in range(4)]
            for thread in threads:
                thread.start()
            before = len(answered)
            while len(answered) < before + 40:
                threads[0].join(0.01)
            service.process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
            service.process.wait()
            service.start()
    finally:
        service.stop()
    recorded = [entry.get("request_id") for entry in service.audit()]
    assert set(answered) <= set(recorded)
    assert "whole:" in service.command("kms", "audit", "verify")
    service.end()


def test_without_tls_only_the_loopback_address_is_served(tmp_path):
    service = Service("kryoptic", tmp_path)
    assert "only the loopback address" in service.command("kms", "serve", "--no-tls", "--host", "0.0.0.0", status=1)  # noqa: S104
    assert "come together" in service.command("kms", "serve", "--tls-cert", "x", status=2)
    assert "are no certificate and its key" in service.command("kms", "serve", "--tls-cert", "x", "--tls-key", "y", status=1)
    service.end()


def test_the_service_itself_speaks_hybrid_tls_with_ml_dsa_certificates_and_records_the_handshake(kms):
    """By a client that refuses everything classical; what is asked through it is answered as to any other."""
    rules = policy("pqc-required")
    context = client_context(rules, read_roots(kms.home / "tls-ca.pem"))
    before = len(kms.audit())
    channel, handshake = connect(context, "localhost", kms.port, rules.name)
    found = handshake.negotiated
    assert (found.group, found.certificate, found.post_quantum) == ("X25519MLKEM768", "ML-DSA-65", True)
    head = f"GET {BASE}/keys HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {kms.token('auditor')}\r\n"
    channel.send(f"{head}Connection: close\r\n\r\n".encode())
    answer = b""
    while part := channel.receive():
        answer += part
    channel.close()
    assert answer.startswith(b"HTTP/1.1 200") and b'"kid"' in answer
    shaken, asked = [entry for entry in kms.audit()[before:] if entry["action"] in ("tls.handshake", "list_keys")]
    assert (shaken["outcome"], shaken["algorithm"]) == ("SUCCESS", "X25519MLKEM768+ML-DSA-65")
    assert asked["source"] == shaken["source"] == "127.0.0.1"


def test_what_is_no_tls_is_refused_and_recorded_and_the_service_goes_on(kms):
    before = len(kms.audit())
    with socket.create_connection(("localhost", kms.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while plain.recv(65536):
            pass
    assert kms.ask("GET", "/keys", "auditor").status_code == 200
    [refused] = [entry for entry in kms.audit()[before:] if entry["action"] == "tls.handshake" and entry["outcome"] == "DENIED"]
    assert "the server refused" in refused["detail"]


def test_a_body_of_a_megabyte_comes_through_in_both_directions(kms):
    kms.command("kms", "create", "large/Ed25519")
    data = base64.b64encode(bytes(700_000)).decode()
    assert kms.ask("POST", "/keys/large:Ed25519/sign", "signer", json={"data": data}).status_code == 200
    assert kms.ask("POST", "/keys/large:Ed25519/sign", "signer", json={"data": data * 2}).status_code == 413
    with kms.client() as client:
        openapi = [client.get("/openapi.json") for _ in range(3)]
    assert [answer.status_code for answer in openapi] == [200] * 3 and len(openapi[0].content) > 10_000
