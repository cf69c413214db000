"""What IBM's client raises, as one sentence of ours: who is to blame, whether to try again, and never a secret."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar

from qiskit_ibm_runtime.accounts.exceptions import InvalidAccountError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, RuntimeJobNotFound
from requests import ConnectionError as NoConnectionError
from requests import Timeout

from backends.errors import BackendError, WorkRefusedError

T = TypeVar("T")

REFUSED_TOKEN = (
    "IBM refuses the token: it is wrong, expired or revoked; "  # noqa: S105 - a sentence
    "make a new one at https://quantum.cloud.ibm.com and set IBM_QUANTUM_TOKEN"
)
_LONGEST = 300  # characters of a vendor's message that are passed on


class UnansweredError(BackendError):
    """IBM did not answer, or with a fault of its own: nothing is known of the job that was asked about."""


class UnknownJobError(BackendError):
    """IBM knows no such job, or no such device."""


STATUSES: Mapping[int, tuple[type[BackendError], str]] = MappingProxyType(
    {
        400: (WorkRefusedError, "IBM refuses the job as invalid (400)"),
        401: (BackendError, REFUSED_TOKEN),
        403: (BackendError, "IBM does not let this account do that (403): see the instance and its plan"),
        404: (UnknownJobError, "IBM knows no such job or device (404)"),
        409: (BackendError, "IBM refuses it in this state (409)"),
        413: (WorkRefusedError, "the job is too large for IBM (413): use fewer circuits"),
        422: (WorkRefusedError, "IBM refuses the job as invalid (422)"),
    }
)
"""HTTP status -> what it means here. 5xx and silence are `UnansweredError`; `Transport` sees to 429."""

CAUSES: Mapping[type[Exception] | tuple[type[Exception], ...], tuple[type[BackendError], str]] = MappingProxyType(
    {
        (IBMNotAuthorizedError, InvalidAccountError): (BackendError, REFUSED_TOKEN),
        Timeout: (UnansweredError, "IBM did not answer in time"),
        NoConnectionError: (UnansweredError, "IBM cannot be reached; see the network and IBM_QUANTUM_URL"),
        RuntimeJobNotFound: STATUSES[404],
    }
)
"""What stands somewhere in the chain of errors -> what it means; the first that does."""

_REFUSED = frozenset({1002, 1003, 1005})
_TOO_LONG = "maximum execution time"
_REFUSED_THOUSANDS = frozenset({6, 7, 8})  # too large, not the device's gates, not its channels
# IBM's error code registry, https://quantum.cloud.ibm.com/docs/errors


def told(step: Callable[[], T], secret: str) -> T:
    """The step's value.

    Raises:
        BackendError: whatever it raises, without `secret` and without the chain of errors, whose texts we cannot answer for.
    """
    try:
        return step()
    except BackendError:
        raise
    except Exception as error:  # whatever a vendor's client raises is the backend's fault
        kind, sentence = _sentence(error)
        raise kind(_clean(sentence, secret)) from None


def failure(reason: str, secret: str) -> BackendError:
    """What a failed job's own message means: with a code that blames the work, trying again cannot help."""
    code = next((int(word.rstrip(";.,:")) for word in reason.split() if word.rstrip(";.,:").isdigit() and len(word) >= 4), 0)
    refused = code in _REFUSED or code // 1000 in _REFUSED_THOUSANDS or _TOO_LONG in reason
    return (WorkRefusedError if refused else BackendError)(_clean(f"the job failed at IBM: {reason}", secret))


def _sentence(error: Exception) -> tuple[type[BackendError], str]:
    chain = list(_chain(error))
    for kinds, meaning in CAUSES.items():
        if any(isinstance(cause, kinds) for cause in chain):
            return meaning
    answered = next((cause for cause in chain if isinstance(cause, RequestsApiError)), None)
    if answered is None:
        return BackendError, f"IBM's client failed: {type(error).__name__}: {error}"
    if answered.status_code not in STATUSES:
        return UnansweredError, f"IBM answered with a fault of its own: {answered.message}"
    kind, sentence = STATUSES[answered.status_code]
    return kind, f"{sentence}: {answered.message}" if kind is WorkRefusedError else sentence


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _clean(sentence: str, secret: str) -> str:
    one_line = " ".join(sentence.split())
    return (one_line.replace(secret, "…") if secret else one_line)[:_LONGEST]
