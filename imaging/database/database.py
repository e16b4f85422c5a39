"""`Database`: durable writes merged into group commits by one writer, snapshot reads by a pool of readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from sqlalchemy import Connection

from imaging.database.access import DatabaseAccess
from imaging.database.backend import Backend
from imaging.database.failure import domain_error, is_passing, let_cursors_go
from imaging.database.group_commit import Finish, GroupCommit
from imaging.database.migration import migrate, require_current
from imaging.database.opening import open_backend
from imaging.database.tables import Tables
from imaging.errors import Unavailable
from imaging.telemetry.durations import Durations

T = TypeVar("T")


class Database:
    """One service's database.

    Functions given to `read` and `write` get an SQLAlchemy connection, run in a thread, and must not wait for anything
    but the database. A write function may be undone and must then have left nothing elsewhere.
    """

    def __init__(self, backend: Backend, *, finish: Finish | None, readers: int) -> None:
        self._backend = backend
        self._closed = False
        self._commits = GroupCommit(backend, finish)
        self._durations = Durations(
            "imaging.database.operation.duration",
            "Time that callers waited for a read, or for a write to be committed.",
            database=backend.writer.dialect.name,
        )
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="database-reader")

    @classmethod
    def open(
        cls,
        access: DatabaseAccess,
        tables: Tables,
        *,
        finish: Finish | None = None,
        readers: int = 4,
    ) -> Self:
        """The database at `access.url`, made if it is not there. Close it before it is opened again.

        Parameters
        ----------
        access
            Where it is. The folder of a SQLite file and the schema in a PostgreSQL database are made; that database
            itself must be there.
        tables
            They are made, or brought up to this release.
        finish
            Runs at the end of each group commit with what its writes have given to `defer`.
        readers
            Concurrent reads.

        Raises
        ------
        FailedPrecondition
            If a newer release has written it, it must be migrated first, another process uses its file, or its server
            could lose data.
        InvalidArgument
            If the kind of database is not supported.
        SettingsInvalid
            If the server knows no such user, password or database.
        Unavailable, Overloaded
            If it cannot be opened now.
        """
        backend = open_backend(access, readers)
        try:
            with backend.migrating() as connection:
                bring_up = migrate if access.migrate_at_start else require_current
                bring_up(connection, tables, where=backend.where)
        except Exception as error:
            backend.close()
            raise domain_error(error, doing="opening") from error
        return cls(backend, finish=finish, readers=readers)

    @property
    def is_shared(self) -> bool:
        """True if other processes may use the database at the same time."""
        return self._backend.is_shared

    async def read(self, function: Callable[[Connection], T]) -> T:
        """What `function` returns, run on one snapshot by a connection that cannot write.

        Raises
        ------
        Unavailable
            If the database is closed or fails.
        """
        if self._closed:
            raise Unavailable("The database is closed", hint="The service is stopping; try again later.")
        with self._durations.of("read"):
            return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, function)

    def read_now(self, function: Callable[[Connection], T], *, again: bool = True) -> T:
        """What `read` returns. Blocks: for threads, and for the start of a service."""
        try:
            with self._backend.reader.connect() as connection, connection.begin():
                return function(connection)
        except Exception as error:
            let_cursors_go(error)
            if again and is_passing(error):  # as after a restart of the server: connections from before it are dead
                return self.read_now(function, again=False)
            shown = domain_error(error, doing="reading", where=self._backend.where)
            if shown is error:
                raise
            raise shown from error

    async def write(self, function: Callable[[Connection], T]) -> T:
        """What `function` returns, once its changes are durably committed.

        Concurrent writes share one transaction, each in a savepoint: one that raises is undone alone, and its caller
        gets its exception. A caller that is cancelled while it waits does not undo its write.

        Raises
        ------
        StorageFull
            If there is no room: nothing of the group was recorded.
        Unavailable
            If the commit failed. The connection may have been lost in the middle of it, so that nobody knows whether
            it stands: write functions must bear to be repeated.
        """
        with self._durations.of("write"):
            value: T = await self._commits.write(function)
        return value

    async def close(self) -> None:
        """Commit what has queued up and close all connections. May be called twice."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """What `close` does. Blocks."""
        if self._closed:
            return
        self._closed = True
        self._readers.shutdown(wait=True)
        self._commits.close()
        self._backend.close()
