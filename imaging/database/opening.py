"""Opens the kind of database that a URL names; or only looks how far its tables are."""

from __future__ import annotations

from sqlalchemy import make_url

from imaging.database.access import DatabaseAccess
from imaging.database.backend import Backend
from imaging.database.failure import domain_error
from imaging.database.migration import Version, version_of
from imaging.database.sqlite import database_file, open_sqlite, reading_engine
from imaging.database.tables import Tables
from imaging.errors import InvalidArgument


def open_backend(access: DatabaseAccess, readers: int = 1) -> Backend:
    """The database without a look at its tables.

    Raises
    ------
    InvalidArgument
        If the kind of database is not supported.
    FailedPrecondition
        If another process uses the file.
    """
    if access.is_postgresql:
        from imaging.database.postgresql import open_postgresql  # its driver takes time to load

        return open_postgresql(access, readers)
    if access.url.startswith("sqlite:"):
        return open_sqlite(access, readers)
    raise InvalidArgument(
        f"The database kind {access.url.partition(':')[0]!r} is not supported",
        hint="Use postgresql://user@host/database, or sqlite:////absolute/path/to/file.sqlite.",
    )


def version_at(access: DatabaseAccess, tables: Tables) -> Version:
    """How far the tables of a database are. Nothing is changed or made, and the services may run.

    Raises
    ------
    FailedPrecondition
        If a newer release has written the database, or its tables are not ours.
    SettingsInvalid, Unavailable, Overloaded
        As `Database.open`.
    """
    if access.is_postgresql:
        backend = open_backend(access)
        engine, where, close = backend.reader, backend.where, backend.close
    else:
        path = database_file(make_url(access.url))
        if not path.exists():
            return version_of(None, tables, where=str(path))
        engine, where = reading_engine(path, 1), str(path)
        close = engine.dispose
    try:
        with engine.connect() as connection:
            return version_of(connection, tables, where=where)
    except Exception as error:
        raise domain_error(error, doing="opening") from error
    finally:
        close()
