"""The one table between domain errors and `google.rpc.Status`, used in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from imaging import errors
from imaging.errors import ImagingError

DOMAIN: Final = "imaging-pipeline"
"""`ErrorInfo.domain` of every error of ours."""

STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"
"""Trailer in which a `google.rpc.Status` travels."""

LONGEST_TEXT: Final = 1500
"""Characters of a text or of one metadata value."""

CODES: Final[dict[type[ImagingError], grpc.StatusCode]] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.RevisionTooOld: grpc.StatusCode.OUT_OF_RANGE,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StorageFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.DataLoss: grpc.StatusCode.DATA_LOSS,
    errors.Internal: grpc.StatusCode.INTERNAL,
}
"""The code of an error is that of its nearest class in this table."""

RETRY_SECONDS: Final[dict[type[ImagingError], float]] = {
    errors.Overloaded: 1.0,
    errors.Unavailable: 1.0,
    errors.StorageFull: 30.0,
}
"""When a request may succeed that failed for what passes by itself, or by an operator's hand, if the error tells no
better. Told when it leaves the process: an error that a client makes up itself, of a service that it does not reach,
says nothing of when that is back."""

RETRY_PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
"""Trailer that gRPC's own retries heed; they do not look into a status."""

_FROM_CODE: Final[dict[int, type[ImagingError]]] = {
    **{code.value[0]: kind for kind, code in CODES.items()},
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]: errors.Overloaded,
    grpc.StatusCode.UNIMPLEMENTED.value[0]: errors.FailedPrecondition,
}


def code_of(error: ImagingError) -> grpc.StatusCode:
    """The gRPC status code of a domain error."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return grpc.StatusCode.INTERNAL


def retry_seconds(error: ImagingError) -> float:
    """When the same request may succeed; 0: never, as far as we know."""
    if error.retry_after_seconds:
        return error.retry_after_seconds
    return next((RETRY_SECONDS[kind] for kind in type(error).__mro__ if kind in RETRY_SECONDS), 0.0)


def to_status(error: ImagingError) -> status_pb2.Status:
    """The error as `google.rpc.Status` with one ErrorInfo, and RetryInfo where a retry may help."""
    status = status_pb2.Status(code=code_of(error).value[0], message=_cut(error.text))
    facts = {**error.metadata, "what": error.what, "where": error.where, "hint": error.hint}
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=DOMAIN, metadata={key: _cut(value) for key, value in facts.items() if value}
        )
    )
    if seconds := retry_seconds(error):
        delay = Duration()
        delay.FromMilliseconds(int(seconds * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _cut(text: str) -> str:
    # Trailers over 8 KiB never arrive: the client would see a broken stream instead of the error.
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def from_status(status: status_pb2.Status) -> ImagingError:
    """The domain error that `to_status` was given; for a foreign status the nearest class by code."""
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(retry)
    facts = dict(info.metadata)
    kind = _by_reason().get(info.reason) if info.domain == DOMAIN else None
    kind = kind or _FROM_CODE.get(status.code, errors.Internal)
    what, where, hint = facts.pop("what", status.message), facts.pop("where", ""), facts.pop("hint", "")
    error = kind(what or "The call failed without a reason", where=where, hint=hint, metadata=facts)
    if retry.HasField("retry_delay"):
        error.retry_after_seconds = retry.retry_delay.ToMilliseconds() / 1000
    return error


def from_rpc_error(error: grpc.RpcError) -> ImagingError:
    """The domain error behind a failed call; transport failures become `Unavailable` with a hint."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return errors.Internal("The call failed in an unknown way", hint="See the log of this process.")
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY:
            try:
                status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
            except DecodeError:  # of a proxy or a foreign server: code and message of the call have to do
                break
            return from_status(status)
    if error.code() == grpc.StatusCode.UNAVAILABLE:
        return errors.Unavailable(
            f"No answer ({error.details()})",
            hint="Is the service running there (`imaging up`), and do both sides use TLS, or neither?",
        )
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or ""):
        return errors.LimitExceeded(
            f"A message is over the limit of 4 MiB ({error.details()})", hint="Send it in chunks of at most 1 MiB."
        )
    return from_status(status_pb2.Status(code=error.code().value[0], message=error.details() or error.code().name))


@contextmanager
def domain_errors(where: str = "") -> Iterator[None]:
    """Turn a failed gRPC call inside into the domain error that the server raised.

    Parameters
    ----------
    where
        Stands in for the place when the error itself names none, e.g. the service that was called.
    """
    try:
        yield
    except grpc.RpcError as failed:
        error = from_rpc_error(failed)
        if where and not error.where:
            error.where = where
            error.args = (error.text,)
        raise error from None


def _by_reason() -> dict[str, type[ImagingError]]:
    found: dict[str, type[ImagingError]] = {}
    open_classes: list[type[ImagingError]] = [ImagingError]
    while open_classes:
        kind = open_classes.pop()
        if kind is not ImagingError:
            found.setdefault(kind.reason, kind)
        open_classes.extend(kind.__subclasses__())
    return found
