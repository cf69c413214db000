"""A run's manifest outside Kafka: an in-toto statement about its outputs, which says what ran where and how.

Who decides or runs on Kafka is given its manifest by `kms.manifest`; this one is for every other run: a notebook, a batch job, a
vendor's portal. Its `crypto.signatures` are the suites that must all sign it, so taking one signature away breaks it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import rfc8785
from pydantic import Field, ValidationError
from pydantic_core import PydanticSerializationError

from kms.canonical import exact
from kms.errors import MalformedManifest, WrongBinding
from kms.suites import Suites
from schemas.codec import explain
from schemas.record import Identifier, Part, Timestamp, now

JOB = "urn:quantumai:job:"
"""What the name of a subject begins with that is a job."""

Name = Annotated[str, Field(min_length=1, max_length=1024)]


M = TypeVar("M", bound=Part)


class Sha256(Part):
    """A digest as in-toto writes it."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Artifact(Part):
    """Something that went in or came out, by name and digest (in-toto's resource descriptor)."""

    name: Name
    digest: Sha256


class Job(Part):
    """Whose run it is."""

    job_id: Identifier
    tenant: str | None = None


class Method(Part):
    """The error mitigation."""

    name: Name
    version: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class Crypto(Part):
    """What protects the run and this manifest."""

    suite: str
    """As it was asked for: KEM:signature."""
    kem: str
    """Key encapsulation that the run's data is to be protected with."""
    signatures: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    """Algorithms that must ALL have signed."""
    signed_at: Timestamp | None = None
    """When it was signed, by its signer's clock; None before."""


class Run(Part):
    """When it ran, and how it ended."""

    started_at: Timestamp
    finished_at: Timestamp
    outcome: Literal["completed", "failed"]
    error: str | None = None


class Predicate(Part):
    """What is said of the subjects."""

    job: Job
    backend: str | None = None
    method: Method | None = None
    shots: Annotated[int, Field(ge=0)] | None = None
    seeds: dict[str, str] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    run: Run | None = None
    inputs: tuple[Artifact, ...] = ()
    software: dict[str, str] = Field(default_factory=dict)
    crypto: Crypto


class Statement(Part):
    """The manifest (in-toto Statement v1)."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")] = "https://in-toto.io/Statement/v1"
    predicate_type: Annotated[Literal["urn:quantumai:manifest:run:v1"], Field(alias="predicateType")] = (
        "urn:quantumai:manifest:run:v1"
    )
    subject: Annotated[tuple[Artifact, ...], Field(min_length=1)]
    predicate: Predicate

    def document(self) -> dict[str, Any]:
        """The statement as JSON or YAML shows it; what is not known is left out."""
        plain: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return plain

    def payload(self) -> bytes:
        """What is signed: the document in RFC 8785's canonical form."""
        return rfc8785.dumps(exact(self.document()))


def statement(predicate: Predicate, outputs: Iterable[Artifact] = ()) -> Statement:
    """The manifest of a run by what came out of it; where nothing did, it is about the job, as `description_of` names it."""
    return Statement(subject=tuple(outputs) or (description_of(predicate),), predicate=predicate)


def predicate(job_id: str, suites: Suites, **fields: Any) -> Predicate:
    """What is said of a run; `fields` are those of `Predicate`, the software beside ours among them.

    Raises:
        MalformedManifest: a field that there is not, or a value that cannot be; it is named.
    """
    crypto = {"suite": suites.asked, "kem": suites.kem, "signatures": suites.signatures}
    software = {**software_versions(), **fields.pop("software", {})}
    return _valid(Predicate, {"job": {"job_id": job_id}, "software": software, **fields, "crypto": crypto})


def read_statement(document: Any) -> Statement:
    """The manifest in a document of JSON or YAML, or in a payload.

    Raises:
        MalformedManifest: it has unknown fields, lacks some, or holds values that cannot be; each is named.
    """
    return _valid(Statement, document)


def signed_at(manifest: Statement, at: datetime | None = None) -> Statement:
    """The manifest with the time of its signature inside."""
    crypto = manifest.predicate.crypto.model_copy(update={"signed_at": at or now()})
    return manifest.model_copy(update={"predicate": manifest.predicate.model_copy(update={"crypto": crypto})})


def about_its_job(manifest: Statement) -> Statement:
    """The manifest, whose subject, where that is its job, has the digest of what is said of it now: for one that was edited."""
    about = description_of(manifest.predicate)
    subject = tuple(about if one.name.startswith(JOB) else one for one in manifest.subject)
    return manifest.model_copy(update={"subject": subject})


def check_subject(manifest: Statement) -> None:
    """Does nothing unless a manifest is about its job, and says something else of it than its subject.

    Raises:
        WrongBinding: it does.
    """
    about = description_of(manifest.predicate)
    for one in manifest.subject:
        if one.name.startswith(JOB) and one != about:
            raise WrongBinding(f"the subject {one.name} has the digest {one.digest.sha256}; what is said of the job has another")


def description_of(about: Predicate) -> Artifact:
    """The subject of a manifest without outputs: the job, by the digest of what is said of it, `crypto` left out."""
    said = about.model_dump(mode="json", exclude_none=True, exclude={"crypto"})
    return Artifact(name=JOB + about.job.job_id, digest=Sha256(sha256=hashlib.sha256(rfc8785.dumps(exact(said))).hexdigest()))


def file_artifact(path: Path) -> Artifact:
    """A file by its name and the digest of its content, which is read as a stream.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as content:
        return Artifact(name=path.name, digest=Sha256(sha256=hashlib.file_digest(content, "sha256").hexdigest()))


def software_versions(*packages: str) -> Mapping[str, str]:
    """The versions of ours and of other installed packages."""
    return {name: version(name) for name in ("quantumai", *packages)}


def _valid(kind: type[M], document: Any) -> M:
    try:
        made = kind.model_validate(document)
        rfc8785.dumps(exact(made.model_dump(mode="json")))
    except ValidationError as error:
        raise MalformedManifest(f"this is no manifest of a run: {explain(error)}") from None
    except (rfc8785.CanonicalizationError, PydanticSerializationError, RecursionError) as error:
        raise MalformedManifest(f"this is no manifest of a run: a value has no form in JSON: {error}") from None
    return made
