"""Digests of what goes into a run and comes out of it."""

import hashlib
from pathlib import Path
from typing import Any

import rfc8785

from kms.canonical import exact
from kms.errors import MalformedManifest
from kms.statement import Artifact, Sha256, file_artifact


def artifact(name: str, value: Any) -> Artifact:
    """A value by its SHA-256: of bytes and files as they are, of text in UTF-8, of an array behind its type and shape, of
    anything else in RFC 8785's canonical JSON.

    Raises:
        MalformedManifest: it is none of these.
        OSError: the file cannot be read.
    """
    if isinstance(value, Path):
        return file_artifact(value).model_copy(update={"name": name})
    return Artifact(name=name, digest=Sha256(sha256=hashlib.sha256(_bytes(name, value)).hexdigest()))


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        view = memoryview(value)
    except TypeError:
        pass
    else:
        return (b"" if view.format == "B" and view.ndim == 1 else f"{view.format} {view.shape} ".encode()) + view.tobytes()
    try:
        return rfc8785.dumps(exact(value))
    except (rfc8785.CanonicalizationError, RecursionError, TypeError) as error:
        what = f"{type(value).__module__}.{type(value).__qualname__}"
        raise MalformedManifest(
            f"{name!r} has no digest ({what}: {error}): give bytes, text, a path, or what JSON can say"
        ) from None
