"""PostgreSQL: sessions that commit durably, in a schema of the service's own, on a server that keeps what it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import QueuePool

from imaging.database.access import DatabaseAccess
from imaging.database.backend import Backend
from imaging.database.postgresql_failure import connect_failure, without_values
from imaging.errors import FailedPrecondition

OLDEST: Final = 13
"""Oldest major version that is supported."""

_CONNECTION: Final = {
    "connect_timeout": "5",
    # A server that is gone without a word is noticed within about 25 s.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
    # Of several hosts the primary: a standby would give old rows.
    "target_session_attrs": "read-write",
}
"""Parameters of libpq; those of the URL win."""

_SESSION: Final = {
    # None of our statements takes a tenth of it on a server that is well.
    "statement_timeout": "60s",
    # Another process holds a row for one group commit.
    "lock_timeout": "10s",
    # A process that is frozen within a transaction loses it, and its locks with it.
    "idle_in_transaction_session_timeout": "15s",
    # As we notice a server that is gone, it shall notice us.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_DURABLE: Final = ("on", "remote_apply")
"""Values of synchronous_commit under which a commit is on the server's disk, and on that of a synchronous standby."""


def open_postgresql(access: DatabaseAccess, readers: int) -> Backend:
    """The database at `access.url`; connects when it is used."""

    @contextmanager
    def migrating() -> Iterator[Connection]:
        with writer.begin() as connection:
            # The first of several processes migrates, however long that takes; the others wait here.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
            connection.execute(lock, {"name": f"imaging migration of {access.schema}"})
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            _ensure_schema(connection, access)
            yield connection

    def close() -> None:
        reader.dispose()
        writer.dispose()

    writer = _engine(lambda: connect(access), 1)
    reader = _engine(lambda: _reading(connect(access)), readers)
    return Backend(
        access.schema,
        place(access),
        writer,
        reader,
        is_shared=True,
        mend=None,
        migrating=migrating,
        close=close,
    )


def place(access: DatabaseAccess) -> str:
    """Server, database and schema, for errors."""
    given = conninfo_to_dict(access.url)
    server = given.get("host") or "the local server"
    port = f":{given['port']}" if given.get("port") else ""
    return f"{server}{port}, database {given.get('dbname') or given.get('user')}, schema {access.schema}"


def connect(access: DatabaseAccess) -> psycopg.Connection[Any]:
    """A session that commits durably, in the schema of the service.

    Raises
    ------
    SettingsInvalid
        If user, password or database are not right, or the connection cannot be encrypted as it shall.
    FailedPrecondition
        If the server is too old, or could lose what it has acknowledged.
    Unavailable, Overloaded
        If it does not answer, is a standby, or has no connection left.
    """
    parameters = {**_CONNECTION, **conninfo_to_dict(access.url), "application_name": access.program}
    if password := access.password():
        parameters["password"] = password
    if access.ca_file is not None:
        parameters["sslrootcert"] = str(access.ca_file)
    try:
        connection = psycopg.connect(autocommit=True, **parameters)  # type: ignore[arg-type]  # of libpq, as strings
        try:
            _check_server(connection, access)
            _set_up(connection, access)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
    except psycopg.Error as error:
        raise connect_failure(error, place(access)) from None
    return connection


def _engine(creator: Callable[[], psycopg.Connection[Any]], connections: int) -> Engine:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=creator,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        use_native_hstore=False,  # asks in each session for a type that we have no use for
    )

    @event.listens_for(engine, "handle_error")
    def handle_error(context: ExceptionContext) -> None:
        error, wrapped = context.original_exception, context.sqlalchemy_exception
        if isinstance(error, psycopg.Error) and wrapped is not None:
            error.args = (without_values(error),)
            wrapped.args = (f"({type(error).__name__}) {without_values(error)}",)

    return engine


def _reading(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def _check_server(connection: psycopg.Connection[Any], access: DatabaseAccess) -> None:
    names = ("server_encoding", "fsync", "full_page_writes")
    settings = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(names),))
    found = dict(settings.fetchall())
    major = connection.info.server_version // 10_000
    if major < OLDEST:
        raise FailedPrecondition(
            f"PostgreSQL {major} is not supported", where=place(access), hint=f"Use version {OLDEST} or newer."
        )
    if found["server_encoding"] != "UTF8":
        raise FailedPrecondition(
            f"The database has the encoding {found['server_encoding']}, which cannot hold every name",
            where=place(access),
            hint="Make one with ENCODING 'UTF8' TEMPLATE template0.",
        )
    weak = next((name for name in names[1:] if found[name] != "on"), None)
    if weak is not None and not access.accept_data_loss:
        raise FailedPrecondition(
            f"The PostgreSQL server runs with {weak} = off: a power cut would take what it has acknowledged",
            where=place(access),
            hint=f"Set {weak} = on there; or set database.accept_data_loss, for data that may be thrown away.",
        )


def _set_up(connection: psycopg.Connection[Any], access: DatabaseAccess) -> None:
    settings = {"search_path": Identifier(access.schema).as_string(connection), **_SESSION}
    # The wish of a role or a database for a still stronger promise stays.
    shown = connection.execute("SHOW synchronous_commit").fetchone()
    if shown is None or shown[0] not in _DURABLE:
        settings["synchronous_commit"] = "on"
    changes = SQL(", ").join(SQL("set_config({}, {}, false)").format(*item) for item in settings.items())
    connection.execute(SQL("SELECT {}").format(changes))
    shown = connection.execute("SHOW synchronous_commit").fetchone()
    if shown is None or shown[0] not in _DURABLE:
        raise FailedPrecondition(
            "The PostgreSQL server does not let us commit durably",
            where=place(access),
            hint="Look why synchronous_commit cannot be set to on.",
        )


def _ensure_schema(connection: Connection, access: DatabaseAccess) -> None:
    query = text("SELECT has_database_privilege(current_database(), 'CREATE'), to_regnamespace(:name) IS NOT NULL")
    name = Identifier(access.schema).as_string(None)
    may_create, is_there = connection.execute(query, {"name": name}).one()
    if is_there:
        return
    if not may_create:
        raise FailedPrecondition(
            f"There is no schema {access.schema}, and the role may not make it",
            where=place(access),
            hint=f"Let somebody run CREATE SCHEMA {access.schema} AUTHORIZATION <the role>.",
        )
    connection.execute(text(f"CREATE SCHEMA {name}"))
