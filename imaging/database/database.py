"""`Database`: durable writes merged into group commits by one writer, snapshot reads by a pool of readers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine, MetaData, make_url

from imaging.database import sqlite
from imaging.database.failure import domain_error
from imaging.database.group_commit import Finish, GroupCommit
from imaging.database.schema_version import ensure_schema
from imaging.errors import InvalidArgument, Unavailable

T = TypeVar("T")


class Database:
    """One service's database.

    Functions given to `read` and `write` get an SQLAlchemy connection, run in a thread, and must not wait for anything
    but the database. A write function may be undone and must then have left nothing elsewhere.
    """

    def __init__(self, writer: Engine, reader: Engine, lock: int, *, finish: Finish | None, readers: int) -> None:
        self._writer_engine = writer
        self._reader_engine = reader
        self._lock = lock
        self._closed = False
        self._commits = GroupCommit(writer, finish, name=str(lock))
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="database-reader")

    @classmethod
    def open(
        cls,
        url: str,
        metadata: MetaData,
        *,
        schema_version: int,
        finish: Finish | None = None,
        readers: int = 4,
    ) -> Database:
        """The database at `url`, made if it is not there. Close it before it is opened again.

        Parameters
        ----------
        url
            `sqlite:///path/to/file.sqlite`; its folder is made.
        metadata, schema_version
            The tables and their version; grows with every change of the tables.
        finish
            Runs at the end of each group commit with what its writes have given to `defer`.
        readers
            Concurrent reads.

        Raises
        ------
        FailedPrecondition
            If the database has another schema version, or another process uses it.
        InvalidArgument
            If the kind of database is not supported.
        Unavailable
            If it cannot be opened.
        """
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            raise InvalidArgument(
                f"The database kind {parsed.get_backend_name()!r} is not supported by this release",
                hint="Use sqlite:////absolute/path/to/file.sqlite.",
            )
        path = sqlite.database_file(parsed)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = sqlite.lock_file(path)
        writer = sqlite.writing_engine(path)
        try:
            with writer.connect() as connection, connection.begin():
                ensure_schema(connection, metadata, schema_version, where=str(path))
        except Exception as error:
            writer.dispose()
            os.close(lock)
            raise domain_error(error, doing="opening") from error
        return cls(writer, sqlite.reading_engine(path, readers), lock, finish=finish, readers=readers)

    async def read(self, function: Callable[[Connection], T]) -> T:
        """What `function` returns, run on one snapshot by a connection that cannot write.

        Raises
        ------
        Unavailable
            If the database is closed or fails.
        """
        if self._closed:
            raise Unavailable("The database is closed", hint="The service is stopping; try again later.")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, function)

    def _read(self, function: Callable[[Connection], T]) -> T:
        try:
            with self._reader_engine.connect() as connection, connection.begin():
                return function(connection)
        except Exception as error:
            shown = domain_error(error, doing="reading")
            if shown is error:
                raise
            raise shown from error

    async def write(self, function: Callable[[Connection], T]) -> T:
        """What `function` returns, once its changes are durably committed.

        Concurrent writes share one transaction, each in a savepoint: one that raises is undone alone, and its caller
        gets its exception. A caller that is cancelled while it waits does not undo its write.

        Raises
        ------
        StorageFull, Unavailable
            If the commit failed: nothing of the group was recorded.
        """
        value: T = await self._commits.write(function)
        return value

    async def close(self) -> None:
        """Commit what has queued up and close all connections. May be called twice."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # Readers first: the last connection to close checkpoints, and that must be the writing one.
        self._readers.shutdown(wait=True)
        self._reader_engine.dispose()
        self._commits.close()
        self._writer_engine.dispose()
        os.close(self._lock)
