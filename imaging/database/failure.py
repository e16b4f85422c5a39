"""Database driver errors -> domain errors: full, or not answering. Broken constraints stay the caller's to judge."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, IntegrityError

from imaging.errors import ImagingError, StorageFull, Unavailable

_FULL = ("database or disk is full", "no space left", "could not extend file")


def is_full(error: BaseException) -> bool:
    """True if the driver says that there is no room left."""
    text = str(error).lower()
    return any(sign in text for sign in _FULL)


def domain_error(error: BaseException, *, doing: str) -> BaseException:
    """The error that a caller of the database shall see, without statement parameters: they may be patient data."""
    if isinstance(error, ImagingError | IntegrityError) or not isinstance(error, DBAPIError):
        return error
    cause = type(error.orig).__name__
    if is_full(error):
        return StorageFull(
            f"The database has no room left while {doing}",
            hint="Free disk space or enlarge the quota of the data directory, then send again: nothing was recorded.",
        )
    return Unavailable(
        f"The database failed while {doing} ({cause})",
        hint="Nothing of the request was recorded; see the service's log for the cause, then try again.",
    )
