"""Manifests any run: `with manifest(job_id=…) as run:`, `async with`, or a decorator of functions, async ones too.

A run says what goes in and comes out; when it began and ended, whether it failed, and on what software it ran is recorded by
itself. A failed run has a manifest, too: the error's class stands in it, its message does not, since it may hold anything.
"""

import asyncio
import copy
import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from kms.artifacts import artifact
from kms.dsse import Envelope
from kms.envelope import MANIFEST_USE, sign_manifest
from kms.errors import KmsError, MalformedManifest
from kms.keyring import KeyRing
from kms.modules import installed_module
from kms.provision import PIN_FILE
from kms.statement import Artifact, Method, Statement, predicate, software_versions, statement
from kms.suites import suites
from kms.token import open_token
from schemas.record import now

P = ParamSpec("P")
T = TypeVar("T")
Sign = Callable[[Statement], Envelope]

_TOKEN_LABEL = "quantumai"  # noqa: S105 - a name, not a secret


@dataclass(slots=True)
class RecordedRun:
    """What a run says of itself while it lasts, and its manifest afterwards.

    Attributes:
        shots: all shots spent; None where it has not been said.
        seeds: purpose -> seed.
        parameters: anything else that JSON can say.
        statement: the manifest, once the run has ended.
        envelope: the signed manifest, once the run has ended, where there is a signer.
    """

    shots: int | None = None
    seeds: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    statement: Statement | None = None
    envelope: Envelope | None = None
    _inputs: dict[str, Artifact] = field(default_factory=dict)
    _outputs: dict[str, Artifact] = field(default_factory=dict)

    def input(self, name: str, value: Any) -> None:
        """Notes what goes in, by its digest: bytes, text, an array, a file's path, or what JSON can say.

        Raises:
            MalformedManifest: it has no digest.
        """
        self._inputs[name] = artifact(name, value)

    def output(self, name: str, value: Any) -> None:
        """Notes what comes out, as `input`."""
        self._outputs[name] = artifact(name, value)


class manifest:  # noqa: N801 - it is used like a function
    """A context manager and a decorator that make a run's manifest when the run ends, however it ends.

    As a decorator it notes each argument as an input and the result as the output `result`; what has no digest is named under
    `parameters`. Each call has a manifest of its own, which goes to `to`.

    Args:
        job_id: the run's name; for a decorator also a function of the call's arguments.
        backend: where it runs.
        suite: KEM:SIGNATURE, as `kms.suites.suites` reads it.
        em_method: the error mitigation.
        sign: makes the envelope: `signing(ring)` or `local_signer()`; without it there is a statement and no signature.
        to: takes the finished run, to keep or send its envelope; an async run calls it in a thread.
        software: installed packages whose versions are recorded beside ours.

    Raises:
        UnknownAlgorithm: the suite is none.
    """

    def __init__(
        self,
        job_id: str | Callable[..., str],
        *,
        backend: str | None = None,
        suite: str = "ML-KEM:ML-DSA",
        em_method: str | None = None,
        sign: Sign | None = None,
        to: Callable[[RecordedRun], None] | None = None,
        software: Iterable[str] = (),
    ) -> None:
        self._job_id, self._sign, self._to = job_id, sign, to
        method = None if em_method is None else Method(name=em_method)
        self._said = {"backend": backend, "method": method, "software": software_versions(*software)}
        self._suites = suites(suite)
        self._run, self._began = RecordedRun(), now()

    def __enter__(self) -> RecordedRun:
        self._run, self._began = RecordedRun(), now()
        return self._run

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Makes the manifest; one that cannot be made does not hide why the run failed."""
        try:
            self._finish(error)
        except KmsError as failed:
            if error is None:
                raise
            error.add_note(f"and its manifest could not be made: {failed}")

    async def __aenter__(self) -> RecordedRun:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)  # a token takes milliseconds, or the better part of a second

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, each call of which has a manifest."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                async with self._of_call(*args, **kwargs) as run:
                    _note_arguments(run, function, *args, **kwargs)
                    result = await function(*args, **kwargs)
                    _note(run, run.output, "result", result)
                return result

            return cast(Callable[P, T], awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._of_call(*args, **kwargs) as run:
                _note_arguments(run, function, *args, **kwargs)
                result = function(*args, **kwargs)
                _note(run, run.output, "result", result)
            return result

        return called

    def _of_call(self, *args: Any, **kwargs: Any) -> "manifest":
        """One for this call alone: calls may run side by side."""
        mine = copy.copy(self)
        mine._job_id = self._job_id(*args, **kwargs) if callable(self._job_id) else self._job_id
        return mine

    def _finish(self, error: BaseException | None) -> None:
        run, outcome = (
            self._run,
            {"outcome": "completed"} if error is None else {"outcome": "failed", "error": type(error).__name__},
        )
        facts = {
            **self._said,
            "shots": run.shots,
            "seeds": {purpose: str(seed) for purpose, seed in run.seeds.items()},
            "parameters": run.parameters,
            "inputs": list(run._inputs.values()),
            "run": {"started_at": self._began, "finished_at": now(), **outcome},
        }
        run.statement = statement(predicate(str(self._job_id), self._suites, **facts), run._outputs.values())
        run.envelope = self._sign(run.statement) if self._sign is not None else None
        if self._to is not None:
            self._to(run)


def signing(ring: KeyRing) -> Sign:
    """Signs with the keys of a ring whose token is open; they are made where there are none, and their uses are counted."""

    def sign(made: Statement) -> Envelope:
        signed = sign_manifest(made, lambda algorithms: ring.ensure(MANIFEST_USE, algorithms))
        ring.count({one.keyid: 1 for one in signed.signatures})
        return signed

    return sign


def local_signer(home: Path = Path(".quantumai")) -> Sign:
    """Signs with the token of the local platform in a folder, and keeps its trust root up to date.

    Raises:
        TokenError: there is no token in the folder, or it does not open.
    """
    folder = home.resolve() / "token"
    try:
        pin = (folder / PIN_FILE).read_text().strip()
    except OSError:
        raise MalformedManifest(
            f"there is no token in {folder}: `quantumai up` makes one; for another take signing(ring)"
        ) from None
    ring = KeyRing.open(home / "keys.db", open_token(installed_module(folder), _TOKEN_LABEL, pin, folder))

    def sign(made: Statement) -> Envelope:
        signed = signing(ring)(made)
        ring.public().save(home / "trust.json")
        return signed

    return sign


def _note_arguments(run: RecordedRun, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    for name, value in inspect.signature(function).bind(*args, **kwargs).arguments.items():
        _note(run, run.input, name, value)


def _note(run: RecordedRun, note: Callable[[str, Any], None], name: str, value: Any) -> None:
    try:
        note(name, value)
    except MalformedManifest:
        run.parameters.setdefault("undigested", []).append(f"{name}: {type(value).__module__}.{type(value).__qualname__}")
