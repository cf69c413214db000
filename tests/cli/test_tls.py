"""`quantumai tls` as a user runs it, in processes of its own: a token's module stays in the process that loads it."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest

from cli import tls, tls_records
from kms.tls import matrix
from kms.tls.handshake import Handshake
from kms.tls.policies import POLICIES
from schemas.manifests import KmsAudit
from schemas.record import now
from streams.broker import free_port
from streams.client import Client
from streams.errors import BrokerUnavailableError

ROOT = Path(__file__).parents[2]
MODULES = {"kryoptic": ROOT / "build" / "token" / "libkryoptic_token.so", "softhsm2": Path("/usr/lib/softhsm/libsofthsm2.so")}


@pytest.fixture(scope="module", params=sorted(MODULES))
def home(request, tmp_path_factory):
    """A platform's folder whose token is of each kind; yields its environment."""
    module = MODULES[request.param]
    if not module.is_file():
        pytest.skip(f"{module} is not installed")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("QUANTUMAI_", "KRYOPTIC_", "SOFTHSM2_"))}
    folder = tmp_path_factory.mktemp(request.param) / "home"
    return {**clean, "QUANTUMAI_HOME": str(folder), "QUANTUMAI_PKCS11_MODULE": str(module), "PYTHONUNBUFFERED": "1"}


def process(home, *arguments):
    command = [sys.executable, "-m", "cli.main", "tls", *map(str, arguments)]
    return subprocess.Popen(command, env=home, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(home, *arguments):
    running = process(home, *arguments)
    out, error = running.communicate(timeout=120)
    return running.returncode, out, error


@contextmanager
def server(home, *options):
    """A running `quantumai tls server`; yields its address and, after the block, what it printed."""
    with process(home, "server", "--port", 0, *options) as running:
        try:
            first = running.stdout.readline()
            assert " at " in first, first
            printed: list[str] = [first]
            yield first.split(" at ")[1].split(";")[0], printed
        finally:
            running.terminate()
            printed += running.stdout.read().splitlines()


def test_server_and_client_agree_refusals_are_one_sentence_and_no_private_key_is_on_the_disk(home, quantumai, monkeypatch):
    folder = Path(home["QUANTUMAI_HOME"])
    monkeypatch.setenv("QUANTUMAI_HOME", str(folder))
    with server(home, "--policy", "pqc-required", "--name", "kms.example") as (address, printed):
        assert ended(home, "client", address, "--name", "kms.example") == (
            0,
            "TLSv1.3 X25519MLKEM768 TLS_AES_256_GCM_SHA384 ML-DSA-65: post-quantum\n",
            "",
        )
        for options, sentence in (
            (("--policy", "classical", "--name", "kms.example"), "the server refused: handshake failure: its policy has no group"),
            (("--policy", "pqc-required"), "the server's certificate is not accepted: IP address mismatch"),
            (("--name", "other.example"), "the server's certificate is not accepted: hostname mismatch"),
        ):
            code, out, error = ended(home, "client", address, *options)
            assert (code, out) == (1, "")
            assert error.startswith("quantumai: ") and sentence in error
            assert error.count("\n") == 1
        for options, sentence in (
            (("--ca", "nowhere.pem"), "there are no CA certificates at nowhere.pem"),
            (("--policy", "none"), "no TLS policy 'none'; known: classical, dual, pqc-required"),
        ):
            refused = quantumai("tls", "client", address, *options)
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert refused.stderr.startswith("quantumai: ") and sentence in refused.stderr
            assert refused.stderr.count("\n") == 1
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert {tls.CA_FILE, "keys.db"} <= {path.name for path in files}
        assert not [path for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert "SUCCESS 127.0.0.1 TLSv1.3 X25519MLKEM768 TLS_AES_256_GCM_SHA384 ML-DSA-65: post-quantum" in printed[1]
    assert "DENIED 127.0.0.1 policy pqc-required: the server refused: no suitable key share" in printed[2]
    assert "the client refused: bad certificate" in printed[3]
    entries = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    shaken = [(entry, json.loads(entry["detail"])) for entry in entries if entry["action"] == "tls.handshake"]
    for end in ("server", "client"):
        own = [(entry, detail) for entry, detail in shaken if detail["end"] == end]
        assert [entry["outcome"] for entry, _ in own] == ["SUCCESS", "DENIED", "DENIED", "DENIED"]
        entry, detail = own[0]
        assert [detail[name] for name in ("group", "suite", "certificate")] == [
            "X25519MLKEM768",
            "TLS_AES_256_GCM_SHA384",
            "ML-DSA-65",
        ]
        assert entry["source"] == "127.0.0.1"
    assert entries[-1]["action"] == "audit.seal"
    whole = quantumai("kms", "audit", "verify")
    assert whole.exit_code == 0 and "whole:" in whole.stdout, whole.stderr


def test_a_client_that_is_not_on_a_platform_needs_the_ca_alone_and_publishes_when_asked(home, broker, tmp_path):
    elsewhere = {**home, "QUANTUMAI_HOME": str(tmp_path / "none"), "QUANTUMAI_BROKERS": broker.bootstrap}
    ca, started = Path(home["QUANTUMAI_HOME"]) / tls.CA_FILE, now()
    with server(home) as (address, _):
        code, out, error = ended(elsewhere, "client", address, "--ca", ca, "--name", "localhost", "--publish")
    assert (code, error) == (0, "") and "X25519MLKEM768" in out
    assert not (tmp_path / "none").exists()
    [found] = [audit for audit in published(broker) if audit.at >= started]
    detail = json.loads(found.detail)
    assert (detail["end"], detail["group"], detail["suite"]) == ("client", "X25519MLKEM768", "TLS_AES_256_GCM_SHA384")


def published(broker):
    async def audits():
        async with Client(broker.bootstrap) as client, aclosing(client.records(KmsAudit)) as events:
            return [event.record async for event in events if event.record.action == "tls.handshake"]

    return asyncio.run(audits())


def test_the_demo_prints_every_pair_keeps_its_word_and_publishes_when_asked(home, broker):
    started = now()
    code, out, error = ended({**home, "QUANTUMAI_BROKERS": broker.bootstrap}, "demo", "--publish")
    assert (code, error) == (0, "")
    for client in matrix.clients():
        assert client.name.split()[0] in out
    for name in POLICIES:
        assert f"server: {name}" in out
    assert "X25519MLKEM768, retried" in out
    assert "no attack went through, and every policy was kept" in out
    found = [audit for audit in published(broker) if audit.at >= started]
    assert len(found) == len(matrix.clients()) * len(matrix.servers())
    details = [json.loads(audit.detail) for audit in found]
    assert {detail["policy"] for detail in details} == {policy.name for policy in matrix.servers()}
    assert {audit.outcome for audit in found} == {"SUCCESS", "DENIED"}
    assert [detail["finding"] for detail in details if detail.get("retried")] == ["post-quantum"] * 2


def test_a_broker_that_is_asked_for_and_down_is_one_sentence(quantumai, monkeypatch):
    monkeypatch.setenv("QUANTUMAI_BROKERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setattr(tls, "ca_ring", lambda _: None)
    monkeypatch.setattr(tls, "authority", lambda *_: lambda: None)
    said = quantumai("tls", "demo", "--publish")
    assert (said.exit_code, said.stdout, said.stderr.count("\n")) == (1, "", 1)
    assert said.stderr.startswith("quantumai: no Kafka broker answers at 127.0.0.1:")


def test_a_broker_that_goes_away_ends_the_demo_in_one_sentence(quantumai, monkeypatch):
    class Gone:
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def publish_audit(self, audit):
            assert audit.action == "tls.handshake"
            raise BrokerUnavailableError("no Kafka broker answers")

    refused = Handshake("server", "dual", ("::1", 1), None, None, "the client refused: unknown ca", "DENIED")
    monkeypatch.setattr(tls_records, "SyncClient", Gone)
    monkeypatch.setattr(tls, "ca_ring", lambda _: None)
    monkeypatch.setattr(tls, "authority", lambda *_: lambda: None)
    monkeypatch.setattr(matrix, "run", lambda _, seen: seen(refused))
    said = quantumai("tls", "demo", "--publish")
    assert (said.exit_code, said.stderr) == (1, "quantumai: a handshake cannot be published: no Kafka broker answers\n")


def test_a_demo_in_which_a_policy_is_not_kept_fails(quantumai, monkeypatch):
    monkeypatch.setattr(tls, "ca_ring", lambda _: None)
    monkeypatch.setattr(tls, "authority", lambda *_: lambda: None)
    monkeypatch.setattr(matrix, "run", lambda *_: {})
    monkeypatch.setattr(matrix, "broken", lambda _: ["attack a went through", "policy b was not kept"])
    said = quantumai("tls", "demo")
    assert (said.exit_code, said.stderr) == (1, "quantumai: attack a went through; policy b was not kept\n")


@pytest.mark.parametrize("address", ["localhost", "localhost:", "localhost:99999", "localhost:http", ":80"])
def test_an_address_without_a_port_is_misuse(quantumai, address):
    for arguments in (("client", address), ("server", "--forward", address)):
        said = quantumai("tls", *arguments)
        assert said.exit_code == 2
        assert "is no host:port" in said.stderr
