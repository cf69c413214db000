"""Who is let in: bearer tokens, roles, limits, sizes; and that every refusal is a problem detail."""

import base64
import json
import logging
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from issuers import Issuer, ask, knocked_at
from soft_token import SoftToken
from starlette.responses import PlainTextResponse

from api.bearer import TOKEN_USE, BearerTokens, issue
from api.errors import RolesUndeclared, TokenImpossible
from api.rate_limits import RateLimits
from api.roles import Face, Role
from kms.keyring import KeyRing
from kms.keys import Key, KeySpec, TokenKey
from kms.life import Life
from schemas.errors import OutageError

NOW = int(datetime.now(UTC).timestamp())


def assert_problem(answer, status, words=""):
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert body["status"] == status
    assert body["instance"] == f"urn:uuid:{answer.headers['x-request-id']}"
    assert words in body["detail"]


@pytest.mark.parametrize("algorithm", ["ECDSA-P384", "ECDSA-P256"])
async def test_a_token_of_another_library_is_taken(algorithm):
    issuer = Issuer(algorithm)
    answer = await ask(knocked_at(issuer), token=issuer.token())
    assert (answer.status_code, answer.json()) == (200, {"name": "alice", "by": "bearer 1"})


def test_another_library_takes_our_tokens():
    """ES384 is the key's own; PyJWT verifies with the public half alone."""
    issuer = Issuer()

    class Outside:
        def sign(self, key, data):
            return jwt.get_algorithm_by_name("ES384").sign(data, issuer.private)

    key = Key(issuer.public, TokenKey(KeySpec(TOKEN_USE, "ECDSA-P384", 1), issuer.public.spki, b"1"), Outside())
    token = issue(key, "tests", subject="bob", roles=[Role.ADMIN], audience=["kms"], lifetime=timedelta(hours=1))
    claims = jwt.decode(token, load_der_public_key(issuer.public.spki), ["ES384"], audience="kms", issuer="tests")
    assert (claims["sub"], claims["roles"], claims["exp"] - claims["iat"]) == ("bob", ["admin"], 3600)


def test_a_post_quantum_token_from_key_ring_to_principal(tmp_path):
    ring = KeyRing.open(tmp_path / "keys.db", SoftToken())
    [key] = ring.ensure(TOKEN_USE, ["ML-DSA-44"])
    token = issue(key, "tests", subject="bob", roles=[Role.ADMIN], audience=["kms", "policy"], lifetime=timedelta(hours=1))
    found = BearerTokens("tests", "policy", lambda: ring.public().keys).principal(token)
    assert (found.name, found.roles) == ("bob", {Role.ADMIN})
    ring.change(key.public.kid, "revoke")
    with pytest.raises(Exception, match="by one that was revoked"):
        BearerTokens("tests", "policy", lambda: ring.public().keys).principal(token)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"exp": NOW - 31}, "expired"),
        ({"exp": None}, '"exp"'),
        ({"iat": NOW + 86_400}, "not yet valid"),
        ({"nbf": NOW + 86_400}, "not yet valid"),
        ({"aud": "policy"}, "Audience"),
        ({"aud": None}, '"aud"'),
        ({"iss": "others"}, "issuer"),
        ({"sub": None}, '"sub"'),
        ({"sub": "a b"}, "name no principal"),
        ({"roles": ["root"]}, "no known roles"),
        ({"roles": "signer"}, "no known roles"),
        ({"headers": {"typ": "JWT"}}, "type at+jwt"),
        ({"headers": {"kid": "0" * 64}}, "no key that is trusted"),
        ({"headers": {"crit": ["exp"]}}, "crit"),
        ({"signed_with": Issuer().private}, "Signature verification failed"),
        ({"alg": "ES256", "signed_with": Issuer("ECDSA-P256").private}, "alg value is not allowed"),
        ({"alg": "HS256", "signed_with": "x" * 64}, "alg value is not allowed"),
        ({"alg": "none", "signed_with": ""}, "alg value is not allowed"),
    ],
)
async def test_a_token_with_a_fault_is_refused(what, words):
    issuer = Issuer()
    app = knocked_at(issuer)
    answer = await ask(app, token=issuer.token(**what))
    assert_problem(answer, 401, words)
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert app.state.calls == []


async def test_the_public_key_as_a_shared_secret_is_refused():
    """The classical confusion: HS256 under the bytes of the public key, which everybody has. PyJWT itself refuses to make one."""
    issuer = Issuer()
    head = {"typ": "at+jwt", "kid": issuer.public.kid, "alg": "HS256"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (head, {"sub": "eve"})]
    signature = jwt.get_algorithm_by_name("HS256").sign(b".".join(parts), issuer.public.spki)
    token = b".".join((*parts, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()
    assert_problem(await ask(knocked_at(issuer), token=token), 401, "alg value is not allowed")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (
            {"life": Life(activates=datetime(2020, 1, 1, tzinfo=UTC), retires=datetime(2021, 1, 1, tzinfo=UTC))},
            "was in force until",
        ),
        ({"life": Life(activates=datetime(2090, 1, 1, tzinfo=UTC))}, "was in force from"),
        ({"state": "revoked"}, "revoked"),
        ({"use": "log"}, "no key that is trusted"),
    ],
)
async def test_a_key_that_is_not_in_force_or_for_another_use_vouches_for_nobody(key, words):
    issuer = Issuer(**key)
    assert_problem(await ask(knocked_at(issuer), token=issuer.token()), 401, words)


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "é", "a" * 9000])
async def test_what_is_no_token_is_refused(token):
    answer = await ask(knocked_at(Issuer()), headers={"authorization": f"Bearer {token}".encode()})
    assert_problem(answer, 401, "no JWT")


async def test_without_credentials_and_with_another_scheme():
    answer = await ask(knocked_at())
    assert_problem(answer, 401, "quantumai token issue")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert_problem(await ask(knocked_at(), headers={"authorization": "Basic YTpi"}), 401, "'Basic' is not taken")


async def test_only_the_declared_roles_are_let_in_and_before_the_body_is_read():
    issuer = Issuer()
    app = knocked_at(issuer)
    broken = {"content": b"{no json", "headers": {"content-type": "application/json"}}
    assert_problem(await ask(app, "/admins", method="POST", **broken), 401)
    assert_problem(await ask(app, "/admins", issuer.token(), "POST", **broken), 403, "takes the role admin or auditor; alice has")
    assert_problem(await ask(app, "/admins", issuer.token(roles=["auditor"]), "POST", **broken), 422, "the request is not valid")
    assert app.state.calls == []
    answer = await ask(app, "/admins", issuer.token(roles=["auditor"]), "POST", json={"a": 1})
    assert (answer.status_code, answer.json()) == (200, {"a": 1})


def test_an_endpoint_without_roles_cannot_exist():
    def opened() -> None: ...

    for where in (Face("", "tests"), knocked_at()):
        with pytest.raises(RolesUndeclared, match="put @allow"):
            where.get("/open")(opened)


async def test_an_endpoint_that_came_round_the_guard_answers_nobody():
    app = knocked_at()
    app.router.add_route("/open", lambda request: PlainTextResponse("secret"))
    answer = await ask(app, "/open")
    assert_problem(answer, 503, "does not say who may call it")
    assert "secret" not in answer.text


async def test_public_endpoints_and_what_is_not_there():
    app = knocked_at(checks={"ring": lambda: None})
    assert (await ask(app, "/everybody")).json() == "welcome"
    assert (await ask(app, "/health/live")).json() == {"status": "live"}
    assert (await ask(app, "/health/ready")).json() == {"status": "ready"}
    assert_problem(await ask(app, "/nothing"), 404)
    assert_problem(await ask(app, "/signers", method="DELETE"), 405)


async def test_what_is_not_there_counts_as_proving_nothing_and_does_not_fill_the_record():
    told = []

    async def record(access):
        told.append(access.status)

    app = knocked_at(failures=RateLimits(0.001, 3), record=record)
    paths = ["/nothing", "/everybody/", "/a", "/b", "/c", "/d"]
    assert [(await ask(app, path)).status_code for path in paths] == [404] * 3 + [429] * 3
    assert told == [404] * 3 + [429]
    assert (await ask(app)).status_code == 429
    assert (await ask(app, "/health/live")).status_code == 200


@pytest.mark.parametrize(
    ("server", "scheme", "status"),
    [
        ("127.0.0.1", "http", 200),
        ("::1", "http", 200),
        ("::ffff:127.0.0.1", "http", 200),
        ("/run/kms.sock", "http", 200),
        ("10.1.2.3", "https", 200),
        ("10.1.2.3", "http", 403),
        ("::ffff:10.1.2.3", "http", 403),
        ("2001:db8::1", "http", 403),
    ],
)
async def test_plain_http_is_served_at_the_loopback_address_only(server, scheme, status):
    """`uvicorn kms.main:app --host 0.0.0.0` would be such a service: its callers' tokens could be read on the way."""
    issuer = Issuer()
    app = knocked_at(issuer)

    async def there(scope, receive, send):
        await app({**scope, "server": (server, 8000), "scheme": scheme}, receive, send)

    answer = await ask(there, token=issuer.token())
    assert answer.status_code == status
    if status == 403:
        assert_problem(answer, 403, "use TLS")
        assert app.state.calls == []
    assert (await ask(there, "/health/live")).status_code == 200


async def test_not_ready_names_what_is_broken_without_details():
    def check():
        raise OutageError("the file /secret/place is gone")

    answer = await ask(knocked_at(checks={"token": check, "ring": lambda: None}), "/health/ready")
    assert (answer.status_code, answer.json()["broken"]) == (503, {"token": "OutageError"})
    assert "/secret" not in answer.text


async def test_openapi_says_which_roles():
    described = (await ask(knocked_at(), "/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    assert described["paths"]["/admins"]["post"]["x-roles"] == ["admin", "auditor"]
    assert {"bearer", "certificate"} == described["components"]["securitySchemes"].keys()
    assert "security" not in described["paths"]["/everybody"]["get"]


async def test_an_unexpected_error_says_nothing_and_its_log_has_no_token(caplog):
    issuer = Issuer()
    token = issuer.token()
    with caplog.at_level(logging.DEBUG):
        answer = await ask(knocked_at(issuer), "/fails", token)
    assert_problem(answer, 500, "its log has the request id")
    assert "4711" not in answer.text
    assert answer.headers["x-request-id"] in caplog.text
    assert token not in caplog.text


async def test_limits_are_of_each_principal_and_come_back():
    issuer, clock = Issuer(), [0.0]
    app = knocked_at(issuer, limits=RateLimits(0.5, 2, lambda: clock[0]))
    assert [(await ask(app, token=issuer.token())).status_code for _ in range(3)] == [200, 200, 429]
    answer = await ask(app, token=issuer.token())
    assert_problem(answer, 429, "too many requests by alice")
    assert answer.headers["retry-after"] == "2"
    assert (await ask(app, token=issuer.token(sub="bob"))).status_code == 200
    clock[0] = 2.0
    assert [(await ask(app, token=issuer.token())).status_code for _ in range(2)] == [200, 429]


async def test_an_address_without_credentials_is_slowed_down_and_told_of_once():
    issuer, told = Issuer(), []

    async def record(access):
        told.append(access.status)

    app = knocked_at(issuer, failures=RateLimits(0.001, 3), record=record)
    assert [(await ask(app)).status_code for _ in range(6)] == [401] * 3 + [429] * 3
    assert told == [401] * 3 + [429]
    assert_problem(await ask(app, token=issuer.token()), 429, "from this address")


async def test_a_body_over_the_limit_is_refused_whether_it_says_so_or_not():
    issuer = Issuer()
    app, token = knocked_at(issuer, most_bytes=1000), issuer.token(roles=["admin"])

    async def pieces():
        for _ in range(20):
            yield b"[" * 100

    assert_problem(await ask(app, "/admins", token, "POST", json={"a" * 1001: 1}), 413, "1,000 bytes")
    assert_problem(await ask(app, "/admins", token, "POST", content=pieces()), 413, "1,000 bytes")
    assert app.state.calls == []
    assert (await ask(app, "/admins", token, "POST", json={"a" * 900: 1})).status_code == 200


async def test_each_access_is_recorded_before_it_is_answered_and_not_answered_when_it_cannot_be():
    issuer, told = Issuer(), []

    async def record(access):
        told.append(access)
        if access.operation == "signers" and len(told) > 3:
            raise OutageError("disk full")

    app = knocked_at(issuer, record=record)
    await ask(app, "/everybody")
    answers = [await ask(app, token=issuer.token()), await ask(app), await ask(app, "/nothing")]
    seen = [(access.principal and access.principal.name, access.operation, access.status) for access in told]
    assert seen == [("alice", "signers", 200), (None, "signers", 401), (None, "", 404)]
    assert told[0].facts == {"kid": "k"}
    assert "no credentials" in told[1].facts["reason"]
    assert [access.request_id for access in told] == [answer.headers["x-request-id"] for answer in answers]
    answer = await ask(app, token=issuer.token())
    assert_problem(answer, 503, "cannot be recorded")
    assert "alice" not in answer.text


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"subject": "a b"}, "no name of a principal"),
        ({"roles": []}, "at least one role"),
        ({"audience": []}, "one service"),
        ({"lifetime": timedelta(days=91)}, "at most 90 days"),
        ({"lifetime": timedelta(0)}, "at most 90 days"),
    ],
)
def test_a_token_that_cannot_be_is_not_issued(how, words, tmp_path):
    [key] = KeyRing.open(tmp_path / "keys.db", SoftToken()).ensure(TOKEN_USE, ["ML-DSA-44"])
    usual = {"subject": "a", "roles": [Role.ADMIN], "audience": ["kms"], "lifetime": timedelta(hours=1)}
    with pytest.raises(TokenImpossible, match=words):
        issue(key, "tests", **{**usual, **how})
