"""Events, manifests and logs to test with, and keys in software where a token would only cost time."""

import uuid
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kms.keys import LOG_USE, Key, KeySpec, PublicKey, TokenKey
from kms.manifest import routed_manifest
from kms.signing import LogSigner
from kms.trust import TrustRoot
from schemas.cloudevents import Event
from schemas.jobs import BackendScore, JobRequested, JobRouted
from schemas.mitigation import Recommendation

START = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


class SoftwareKeys:
    """Signs as a token does, by `cryptography`."""

    def __init__(self):
        self.private = {"ECDSA-P384": ec.generate_private_key(ec.SECP384R1()), "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate()}

    def sign(self, key, data):
        private = self.private[key.spec.algorithm]
        if key.spec.algorithm == "ML-DSA-65":
            return private.sign(data)
        r, s = decode_dss_signature(private.sign(data, ec.ECDSA(SHA384())))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")

    def key(self, algorithm, state="active"):
        spki = self.private[algorithm].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        inside = TokenKey(KeySpec(LOG_USE, algorithm, 1), spki, b"id")
        return Key(PublicKey(inside.kid, LOG_USE, algorithm, 1, state, spki), inside, self)


def software_keys():
    made = SoftwareKeys()
    return [made.key(algorithm) for algorithm in made.private]


def trusting(keys, **changes):
    return TrustRoot(tuple(key.public for key in keys), **changes)


def score(backend, *blocked):
    return BackendScore(
        backend=backend,
        calibration_id="a" * 64,
        method="zne",
        expected_fidelity=0.75,
        expected_error=0.5,
        cost_usd=0.1,
        availability_penalty=1.0,
        crypto_compatibility=0.0 if blocked else 1.0,
        score=0.0 if blocked else 7.5,
        wait_seconds=0.0,
        execution_seconds=1e-7,
        route="" if blocked else "direct",
        blocked=blocked,
    )


def advice(backend):
    return Recommendation(
        backend=backend,
        calibration_id="a" * 64,
        method="zne",
        method_version="2",
        parameters={"scale_factors": [1.0, 3.0], "folds": 2**60},
        shot_overhead=2.0,
        total_shots=8192,
        circuit_count=2,
        expected_error=0.5,
        expected_fidelity=0.75,
        fidelity_low=0.5,
        fidelity_high=1.0,
        confidence=0.9,
        execution_seconds=1.0,
        reason="shallow",
    )


def routed(number, **changes):
    job = JobRequested(job_id=f"job-{number}", circuits=("OPENQASM 3.0;",), crypto_mode="pqc", seed=2**62 + number)
    fields = {
        "job_id": job.job_id,
        "decision": "ROUTED",
        "job": job,
        "backend": "aer",
        "recommendation": advice("aer"),
        "scores": (score("aer"), score("fez", "no route offers ML-KEM")),
        "reasons": ("highest score",),
        "scoring_policy": "score-v1",
        "model_version": "m1",
    }
    record = JobRouted(**{**fields, **changes})
    return Event(record, str(uuid.UUID(int=number)), number.to_bytes(32, "big"))


def requests(numbers):
    return [routed_manifest(None, routed(number)) for number in numbers]


class Log:
    """One partition's log, remembering its last checkpoint as the signer agent's view does."""

    def __init__(self, keys, partition=0, origin="test.example", clock=None):
        self.last, self.partition, self.records = None, partition, []
        self.signer = LogSigner(lambda: keys, origin, lambda _: self.last, clock=clock or Clock())

    def sign(self, manifests):
        return self._keep(self.signer.sign(self.partition, manifests))

    def heartbeat(self):
        return self._keep(self.signer.heartbeat(self.partition))

    def _keep(self, records):
        self.last = records[-1] if records else self.last
        self.records += records
        return records


class Clock:
    """Each look is a second later."""

    def __init__(self):
        self.time = START

    def __call__(self):
        self.time += timedelta(seconds=1)
        return self.time
