"""Errors that only HTTP knows; `problem.py` has their status."""

from __future__ import annotations

from imaging import errors


class NotAcceptable(errors.InvalidArgument):
    """None of the media types or transfer syntaxes that the client accepts can be served."""

    reason = "NOT_ACCEPTABLE"


class UnsupportedMediaType(errors.InvalidArgument):
    """A body that is not taken in this form."""

    reason = "UNSUPPORTED_MEDIA_TYPE"


class MethodNotAllowed(errors.InvalidArgument):
    """The resource has no such method; metadata `allow` names those it has."""

    reason = "METHOD_NOT_ALLOWED"


class Misdirected(errors.PermissionDenied):
    """A Host that is not ours: a foreign page may have pointed its own name here."""

    reason = "MISDIRECTED_REQUEST"


class CsrfTokenMissing(errors.PermissionDenied):
    """A change that a browser asks for without the word that only our own page knows."""

    reason = "CSRF_TOKEN_MISSING"


class RangeNotSatisfiable(errors.InvalidArgument):
    """Bytes that are not there; metadata `size_bytes` tells how many are."""

    reason = "RANGE_NOT_SATISFIABLE"


class RequestTimeout(errors.DeadlineExceeded):
    """A body of which nothing came for too long."""

    reason = "REQUEST_TIMEOUT"


class BrokenBody(errors.InvalidArgument):
    """A body that ends too early, or is not what its Content-Type says."""

    reason = "BROKEN_BODY"
