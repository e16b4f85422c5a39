"""Failures of PostgreSQL -> domain errors: of statements by SQLSTATE, of connecting by the words, as it has no code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import psycopg

from imaging.errors import (
    DataLoss,
    FailedPrecondition,
    ImagingError,
    InvalidArgument,
    Overloaded,
    SettingsInvalid,
    StorageFull,
    Unavailable,
)

RETRY_SECONDS: Final = 1.0
"""A server that is started again takes calls after about so long."""

WORTH_REPEATING: Final = frozenset({"40001", "40P01", "0A000"})
"""serialization_failure, deadlock_detected; and a plan that was made before its tables were changed."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: type[ImagingError]
    what: str
    hint: str
    is_passing: bool = False

    def error(self, where: str, **facts: str) -> ImagingError:
        retry = RETRY_SECONDS if self.is_passing else None
        return self.kind(self.what.format(**facts), where=where, hint=self.hint, retry_after_seconds=retry)


_AWAY: Final = _Meaning(
    Unavailable,
    "PostgreSQL went away while {doing}",
    "Nothing of the request was recorded; send it again when the server is back.",
    is_passing=True,
)
_NO_ANSWER: Final = _Meaning(
    Unavailable, "PostgreSQL does not answer: {text}", "Is it running there, and reached from here?", is_passing=True
)
_READ_ONLY: Final = _Meaning(
    Unavailable,
    "The PostgreSQL server is read-only",
    "It is a standby, or was made read-only: name the primary in the database URL, or all of its servers.",
    is_passing=True,
)
_TOO_SLOW: Final = _Meaning(
    Unavailable,
    "PostgreSQL was too slow while {doing}",
    "Try again, or ask for less; if it lasts, look at what its server is busy with.",
    is_passing=True,
)
_IN_THE_WAY: Final = _Meaning(
    Unavailable,
    "Others were in the way while {doing}",
    "Try again; if it lasts, look for sessions in PostgreSQL that hold locks for long.",
    is_passing=True,
)
_OTHER: Final = _Meaning(
    Unavailable,
    "PostgreSQL failed while {doing} ({name})",
    "Nothing of the request was recorded; see the service's log for the cause, then try again.",
    is_passing=True,
)
_NO_CONNECTION_LEFT: Final = _Meaning(
    Overloaded,
    "PostgreSQL has no connection left for us",
    "Raise max_connections (or the limit of the role), or end what holds its connections.",
    is_passing=True,
)
_BUSY: Final = _Meaning(
    Overloaded,
    "PostgreSQL has no room for more work while {doing}",
    "Try again; if it lasts, look at the memory of its server and at its limits.",
    is_passing=True,
)
_FULL: Final = _Meaning(
    StorageFull,
    "The disk of PostgreSQL has no room left while {doing}",
    "Free or add space there, then send again: nothing was recorded.",
)
_OUT_OF_BOUNDS: Final = _Meaning(
    InvalidArgument, "A value is out of the bounds of the database", "Look for numbers or texts of absurd size."
)
_NOT_ALLOWED: Final = _Meaning(
    FailedPrecondition,
    "The role may not do what is needed while {doing}",
    "Let it own the schema of the service and the tables in it.",
)
_ALTERED: Final = _Meaning(
    FailedPrecondition,
    "Tables are not as this release needs them while {doing}",
    "Somebody has changed the schema of the service by hand: restore it from a backup.",
)
_DAMAGED: Final = _Meaning(
    DataLoss,
    "PostgreSQL reports damaged data while {doing}",
    "Restore the database from a backup, and check the disks of its server.",
)
_LOGIN: Final = _Meaning(
    SettingsInvalid,
    "PostgreSQL does not let us in: {text}",
    "Check the user in the database URL, and the file with its password.",
)
_NO_DATABASE: Final = _Meaning(
    SettingsInvalid,
    "There is no such database",
    "Make it (CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0), or correct the database URL.",
)
_NOT_ENCRYPTED: Final = _Meaning(
    SettingsInvalid,
    "No encrypted connection to PostgreSQL can be made: {text}",
    "Check `ssl` at the server, database.ca_file, and sslmode in the database URL.",
)

_BY_STATE: Final = {
    "08": _AWAY,
    "22": _OUT_OF_BOUNDS,
    "25006": _READ_ONLY,
    "25P03": _AWAY,  # we were, for too long, within a transaction
    "28": _LOGIN,
    "3D000": _NO_DATABASE,
    "3F": _ALTERED,
    "40": _IN_THE_WAY,
    "42501": _NOT_ALLOWED,
    "42": _ALTERED,
    "53100": _FULL,
    "53300": _NO_CONNECTION_LEFT,
    "53": _BUSY,
    "55P03": _IN_THE_WAY,
    "57014": _TOO_SLOW,
    "57": _AWAY,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
"""By SQLSTATE, or its class: the first two characters."""

_BY_WORDS: Final = (
    (r"authentication|no password supplied|role .* does not exist|no pg_hba\.conf|not permitted to log in", _LOGIN),
    (r"permission denied for database", _LOGIN),
    (r'database ".*" does not exist', _NO_DATABASE),
    (r"too many (clients|connections)|connection slots", _NO_CONNECTION_LEFT),
    (r"session is read-only|hot standby", _READ_ONLY),
    (r"SSL|certificate|sslmode|sslrootcert", _NOT_ENCRYPTED),
)


def connect_failure(error: psycopg.Error, where: str) -> ImagingError:
    """Why a session cannot be begun. A text in another language than English counts as no answer."""
    if error.sqlstate:
        return statement_failure(error, "connecting", where)
    lines = [line for line in str(error).splitlines() if line and not line.startswith("\t")]
    # Of several hosts each has its line.
    text = re.sub(r"^.*failed: (?:FATAL: +)?", "", lines[-1]) if lines else "no reason is given"
    meaning = next((meaning for pattern, meaning in _BY_WORDS if re.search(pattern, text)), _NO_ANSWER)
    return meaning.error(where, doing="connecting", text=text)


def statement_failure(error: psycopg.Error, doing: str, where: str = "") -> ImagingError:
    """Why a statement failed that was surely not carried out."""
    state = error.sqlstate or ("22" if isinstance(error, psycopg.DataError) else "")
    meaning = _BY_STATE.get(state) or _BY_STATE.get(state[:2], _OTHER)
    name = " ".join(part for part in (type(error).__name__, state) if part)
    return meaning.error(where, doing=doing, name=name, text=name)


def without_values(error: psycopg.Error) -> str:
    """What the server said, without what may quote the values of a row: they may be patient data."""
    told = error.diag
    if told.sqlstate is None:  # of the driver: about connections, or a value that has no form in PostgreSQL
        return type(error).__name__ if isinstance(error, psycopg.DataError) else str(error)
    text = "" if told.sqlstate[:2] in ("22", "23") else told.message_primary
    return " ".join(filter(None, (told.sqlstate, text, told.table_name, told.column_name, told.constraint_name)))
