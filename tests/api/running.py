"""The key service as a user runs it: `quantumai kms serve` over TLS, with a real token behind it; and a CA for its clients."""

import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).parents[2]
QUANTUMAI = Path(sys.executable).with_name("quantumai")
MODULES = {"kryoptic": ROOT / "build" / "token" / "libkryoptic_token.so", "softhsm2": Path("/usr/lib/softhsm/libsofthsm2.so")}
BASE = "/api/v1/kms"


class ClientCa:
    """A CA that is not ours; writes what it issues into a folder."""

    def __init__(self, folder, name):
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate(self.name, self.key.public_key(), ca=True).public_bytes(Encoding.PEM))

    def issue(self, name, uri=None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests")])
        certificate = self._certificate(subject, key.public_key(), uri=uri)
        file = self.folder / f"{name}-{certificate.serial_number}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(certificate.public_bytes(Encoding.PEM) + pem)
        return file

    def _certificate(self, subject, public, ca=False, uri=None):
        now = datetime.now(UTC)
        serial = x509.random_serial_number()
        builder = x509.CertificateBuilder(self.name, subject, public, serial, now - timedelta(hours=1), now + timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if uri:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        return builder.sign(self.key, SHA256())


class Service:
    """One service in a folder of its own."""

    def __init__(self, kind, folder, **environment):
        self.home, self.folder, self.process = folder / "home", folder, None
        self.typed = None
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUANTUMAI_")}
        ours = {"QUANTUMAI_HOME": str(self.home), "QUANTUMAI_PKCS11_MODULE": str(MODULES[kind]), "COLUMNS": "250"}
        self.environment = {**inherited, **ours, "QUANTUMAI_API_RATE": "1000", "QUANTUMAI_API_BURST": "1000", **environment}
        self.home.mkdir(exist_ok=True)
        self.ca = ClientCa(folder, "clients")
        self.port = _free_port()
        self.tokens = {}

    def command(self, *arguments, status=0):
        """What `quantumai` prints; typed into one process, because starting one takes longer than most commands."""
        if self.typed is None:
            environment = {**self.environment, "PYTHONPATH": str(ROOT)}
            server = [sys.executable, ROOT / "tests" / "cli" / "command_server.py"]
            self.typed = subprocess.Popen(
                server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.folder, env=environment, text=True
            )
        self.typed.stdin.write(json.dumps([list(map(str, arguments)), "", {}]) + "\n")
        self.typed.stdin.flush()
        seen, stdout, stderr = json.loads(self.typed.stdout.readline())
        said = base64.b64decode(stdout).decode() + stderr
        assert seen == status, said
        return said

    def token(self, *roles):
        if roles not in self.tokens:
            chosen = [word for role in roles for word in ("--role", role)]
            self.tokens[roles] = self.command("token", "issue", "--subject", "-".join(roles) + "@tests", *chosen).strip()
        return self.tokens[roles]

    def start(self):
        command = [QUANTUMAI, "kms", "serve", "--port", str(self.port), "--client-ca", str(self.ca.file)]
        log = (self.folder / "serve.log").open("ab")
        self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "serve.log").read_text()
            with contextlib.suppress(httpx.HTTPError, OSError), self.client() as client:
                if client.get("/health/ready").status_code == 200:
                    return self
            time.sleep(0.1)
        raise AssertionError((self.folder / "serve.log").read_text())

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(timeout=30) == 0
        self.process = None

    def end(self):
        self.stop()
        if self.typed is not None:
            self.typed.communicate(timeout=30)

    def client(self, certificate=None):
        context = ssl.create_default_context(cafile=self.home / "tls-ca.pem")
        if certificate is not None:
            context.load_cert_chain(certificate)
        return httpx.Client(base_url=f"https://localhost:{self.port}", verify=context, timeout=30)

    def ask(self, method, path, *roles, certificate=None, **how):
        headers = {"authorization": f"Bearer {self.token(*roles)}"} if roles else {}
        with self.client(certificate) as client:
            return client.request(method, f"{BASE}{path}", headers=headers, **how)

    def audit(self):
        return [json.loads(line) for line in (self.home / "audit.jsonl").read_text().splitlines()]

    def publish_clients(self, *clients):
        (self.home / "clients.json").write_text(json.dumps({"clients": list(clients)}))


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
