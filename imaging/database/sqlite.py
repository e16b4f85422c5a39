"""SQLite: one writing connection a file, readers that cannot write, durable commits."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL, Connection
from sqlalchemy.pool import QueuePool, StaticPool

from imaging.database.access import DatabaseAccess
from imaging.database.backend import Backend
from imaging.errors import FailedPrecondition, Internal, InvalidArgument

CACHE_KIB = 2 * 1024
"""Page cache of each connection. Small: the pages of the index are in the cache of the system as well, and what five
connections keep of a growing index would be the largest part of what the service takes."""

CHECKPOINT_PAGES = 4096
"""WAL pages (4 KiB each) between checkpoints: 16 MiB keeps the checkpoint's fsyncs rare beside those of the commits."""


def open_sqlite(access: DatabaseAccess, readers: int) -> Backend:
    """The file at `access.url`, made with its folder if it is not there.

    Raises
    ------
    FailedPrecondition
        If another process uses it.
    InvalidArgument
        If the URL names no file.
    OSError
        If its folder cannot be used.
    """
    path = database_file(make_url(access.url))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Asked beforehand: SQLite only says that it cannot open the file.
    if not os.access(path.parent, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path.parent))
    lock = lock_file(path)
    writer, reader = writing_engine(path), reading_engine(path, readers)

    def close() -> None:
        # Readers first: the last connection to close checkpoints, and that must be the writing one.
        reader.dispose()
        writer.dispose()
        os.close(lock)

    return Backend(
        path.stem,
        str(path),
        writer,
        reader,
        is_shared=False,
        mend=_mend,
        migrating=lambda: _migrating(writer),
        close=close,
    )


def database_file(url: URL) -> Path:
    """The path of the file that `sqlite:///path` names.

    Raises
    ------
    InvalidArgument
        For a database in memory: it would keep nothing.
    """
    if not url.database or url.database == ":memory:":
        raise InvalidArgument("A SQLite database needs a file", hint="Use sqlite:////absolute/path/to/file.sqlite.")
    return Path(url.database)


def lock_file(path: Path) -> int:
    """An open descriptor that holds the exclusive lock of a database; closing it, or dying, lets go.

    SQLite before 3.51.3 can lose committed pages when several connections write and checkpoint in WAL mode, so a
    second writing process is kept out.

    Raises
    ------
    FailedPrecondition
        If another process, or another `Database` of this one, holds it.
    """
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise FailedPrecondition(
            "The database is in use by another process",
            where=str(path),
            hint="Stop the other service that runs on this data directory, or choose another one.",
        ) from error
    return descriptor


def writing_engine(path: Path) -> Engine:
    """An engine with the one connection that writes and checkpoints."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {8 * CHECKPOINT_PAGES * 4096}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool, hide_parameters=True)
    _begin_with(engine, "BEGIN IMMEDIATE")
    return engine


def reading_engine(path: Path, connections: int) -> Engine:
    """An engine whose connections read one snapshot a transaction, and can neither write nor checkpoint."""

    def connect() -> sqlite3.Connection:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA case_sensitive_like = ON")  # as PostgreSQL and the Standard have it
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return connection

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
    )
    _begin_with(engine, "BEGIN")
    return engine


def _mend(connection: Connection) -> None:
    """Bring all that is committed into the database file, anew and synced, and empty the log behind it.

    The frames of the commit whose sync failed are in the log, but not in its index: they do not get into the file, and
    are gone with the log. Nothing is synced again that had failed: it is written again.

    Raises
    ------
    OperationalError
        If the disk does not take it, or a reader is in the way.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute("PRAGMA busy_timeout = 1000")
    try:
        busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        driver.execute("PRAGMA busy_timeout = 30000")
    if busy:
        raise sqlite3.OperationalError("a reader is in the way")


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """The lock keeps others out. A table that is copied and dropped must not take with it what refers to it."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("PRAGMA foreign_keys = OFF")  # has no effect within a transaction
        try:
            with connection.begin():
                yield connection
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                if broken is not None:
                    raise Internal(f"A migration left rows of {broken[0]} that refer to nothing", hint="Report it.")
        finally:
            driver.execute("PRAGMA foreign_keys = ON")


def _begin_with(engine: Engine, statement: str) -> None:
    # The driver itself would begin only before a writing statement: reads would see several snapshots.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)
