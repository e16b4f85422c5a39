"""Database driver errors -> domain errors: full, or not answering. Broken constraints stay the caller's to judge."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, IntegrityError

from imaging.errors import ImagingError, SettingsInvalid, StorageFull, Unavailable

if TYPE_CHECKING:
    import psycopg

_FULL = ("database or disk is full", "no space left")


def is_full(error: BaseException) -> bool:
    """True if the driver says that there is no room left."""
    text = str(error).lower()
    return any(sign in text for sign in _FULL)


def domain_error(error: BaseException, *, doing: str, where: str = "") -> BaseException:
    """The error that a caller of the database shall see, without statement parameters: they may be patient data."""
    if isinstance(error, SettingsInvalid) and doing != "opening":
        # A new connection is refused that earlier ones got: no fault of the request.
        return Unavailable(error.what, where=error.where, hint=error.hint)
    if isinstance(error, ImagingError | IntegrityError) or not isinstance(error, DBAPIError):
        return error
    if (of_postgresql := postgresql_error(error)) is not None:
        from imaging.database.postgresql_failure import statement_failure

        return statement_failure(of_postgresql, doing)
    cause = type(error.orig).__name__
    if is_full(error):
        return StorageFull(
            f"The database has no room left while {doing}",
            where=where,
            hint="Free disk space or enlarge the quota of the data directory, then send again: nothing was recorded.",
        )
    return Unavailable(
        f"The database failed while {doing} ({cause})",
        where=where,
        hint="Nothing of the request was recorded; see the service's log for the cause, then try again.",
    )


def postgresql_error(error: BaseException) -> psycopg.Error | None:
    """The error of the PostgreSQL driver below, if there is one."""
    below = error.orig if isinstance(error, DBAPIError) else None
    if below is None or not type(below).__module__.startswith("psycopg"):
        return None
    return below  # type: ignore[return-value]  # told by its module, so that the driver need not be loaded


def let_cursors_go(error: BaseException) -> None:
    """Drop the local variables below an error: cursors among them would live as long as the error does.

    SQLite keeps the snapshot of a statement that is not read to its end, also beyond the transaction: the connection
    would never see again what others write.
    """
    traceback.clear_frames(error.__traceback__)


def is_passing(error: BaseException) -> bool:
    """True if the same transaction, once more from its beginning, may well go through: surely nothing is committed."""
    if (of_postgresql := postgresql_error(error)) is None:
        return False
    from imaging.database.postgresql_failure import WORTH_REPEATING

    return has_lost_connection(error) or of_postgresql.sqlstate in WORTH_REPEATING


def has_lost_connection(error: BaseException) -> bool:
    """True if the connection has ended with this error, so that nobody knows what a commit has come to."""
    return isinstance(error, DBAPIError) and error.connection_invalidated
