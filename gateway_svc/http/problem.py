"""Errors as JSON (RFC 9457) with what, where, why and how to fix it; the table from domain errors to HTTP."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Final

from gateway_svc.http.exchange import Exchange, Header
from gateway_svc.http.refusals import (
    MethodNotAllowed,
    Misdirected,
    NotAcceptable,
    RangeNotSatisfiable,
    RequestTimeout,
    UnsupportedMediaType,
)
from imaging import errors
from imaging.errors import ImagingError
from imaging.rpc.status import retry_seconds

STATUS: Final[dict[type[ImagingError], int]] = {
    NotAcceptable: 406,
    UnsupportedMediaType: 415,
    MethodNotAllowed: 405,
    Misdirected: 421,
    RangeNotSatisfiable: 416,
    RequestTimeout: 408,
    errors.UnsupportedTransferSyntax: 406,
    errors.PixelDataInvalid: 422,
    errors.LimitExceeded: 413,
    errors.InvalidArgument: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.FailedPrecondition: 409,
    errors.RevisionTooOld: 410,
    errors.Overloaded: 503,
    errors.StorageFull: 507,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.Cancelled: 503,
    errors.DataLoss: 500,
    errors.Internal: 500,
}
"""The status of an error is that of its nearest class in this table."""

RETRY_SECONDS: Final = 2
"""After which a client may come again whose request was ended with the service."""


def status_of(error: ImagingError) -> int:
    """The HTTP status of a domain error."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem(error: ImagingError) -> tuple[int, list[Header], bytes]:
    """Status, headers and body that tell the error."""
    status = status_of(error)
    told = {
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.text,
        "what": error.what,
        "where": error.where,
        "why": error.reason,
        "hint": error.hint,
        **({"facts": error.metadata} if error.metadata else {}),
    }
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if status in (503, 507):
        seconds = retry_seconds(error) or RETRY_SECONDS
        headers.append((b"retry-after", b"%d" % max(1, round(seconds))))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="imaging"'))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.metadata.get("allow", "").encode("ascii")))
    if isinstance(error, RangeNotSatisfiable):
        headers.append((b"content-range", b"bytes */" + error.metadata.get("size_bytes", "0").encode("ascii")))
    return status, headers, json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


async def send_problem(exchange: Exchange, error: ImagingError) -> None:
    """Answer with an error."""
    status, headers, body = problem(error)
    await exchange.send(status, headers, body)
