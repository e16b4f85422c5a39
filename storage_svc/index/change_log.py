"""The change log: gapless revisions in commit order, taken from one row as the last statements of a group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, select, update

from imaging.database import Database, clock, defer
from imaging.errors import RevisionTooOld
from imaging.storage.v1 import storage_pb2
from storage_svc.schema import CHANGE, CHANGE_HEAD

T = TypeVar("T")
Kind = storage_pb2.Change.Kind
_TAKE = (
    update(CHANGE_HEAD)
    .values(revision=CHANGE_HEAD.c.revision + bindparam("count", type_=BigInteger))
    .returning(CHANGE_HEAD.c.revision)
)
_ADD = insert(CHANGE)


def record_change(
    connection: Connection,
    kind: Kind.ValueType,
    name: str,
    *,
    digest: str = "",
    manifest_version: int = 0,
    size_bytes: int = 0,
    origin: tuple[int, str, str, int] = (0, "", "", 0),
    traceparent: str = "",
) -> None:
    """Add a change to what is being committed; it gets its revision when all else of the group is written.

    Parameters
    ----------
    origin
        Kind, run, stage and attempt.
    """
    defer(
        connection,
        {
            "kind": kind,
            "name": name,
            "digest": digest,
            "manifest_version": manifest_version,
            "size_bytes": size_bytes,
            "origin_kind": origin[0],
            "origin_run": origin[1],
            "origin_stage": origin[2],
            "origin_attempt": origin[3],
            "traceparent": traceparent,
        },
    )


def commit_changes(connection: Connection, changes: Sequence[Any]) -> None:
    """Number the changes of a group and write them: the `finish` function of the database.

    Every writer waits at the one row of `change_head` until the other has committed. So revisions become visible in
    their order, and a watcher that has seen n can never meet a smaller one later.
    """
    head = connection.execute(_TAKE, {"count": len(changes)}).scalar_one()
    first, time = head - len(changes) + 1, clock.now()
    connection.execute(
        _ADD,
        [{**change, "revision": first + index, "create_time": time} for index, change in enumerate(changes)],
    )


class ChangeLog:
    """Reads the log, and lets watchers know at once of what this process commits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news: set[asyncio.Event] = set()
        self.ends = False
        """The service is stopping: watchers have to leave."""

    def end(self) -> None:
        """Tell watchers that the service is stopping."""
        self.ends = True
        self._wake()

    async def write(self, function: Callable[[Connection], T]) -> T:
        """As `Database.write`; watchers are woken after the commit."""
        value = await self._database.write(function)
        self._wake()
        return value

    def _wake(self) -> None:
        for event in self._news:
            event.set()

    async def wait_for_news(self, seconds: float) -> None:
        """Return when something was committed here, or after `seconds` (another process may have committed)."""
        event = asyncio.Event()
        self._news.add(event)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        finally:
            self._news.discard(event)

    async def bounds(self) -> tuple[int, int]:
        """(oldest revision that is kept, newest revision); (1, 0) for an empty log."""

        def read(connection: Connection) -> tuple[int, int]:
            row = connection.execute(select(CHANGE_HEAD.c.oldest_revision, CHANGE_HEAD.c.revision)).one()
            return row[0], row[1]

        return await self._database.read(read)

    async def read(self, start_revision: int, kinds: Sequence[int], limit: int) -> tuple[list[dict[str, Any]], int]:
        """Up to `limit` changes from a revision on, and the revision up to which all were looked at.

        Raises
        ------
        RevisionTooOld
            If the log no longer reaches back so far.
        """

        def read(connection: Connection) -> tuple[list[dict[str, Any]], int]:
            oldest, head = connection.execute(select(CHANGE_HEAD.c.oldest_revision, CHANGE_HEAD.c.revision)).one()
            if start_revision < oldest:
                raise RevisionTooOld(
                    f"Revision {start_revision} is no longer in the change log",
                    where="start_revision",
                    hint=f"Look at what is stored, then watch from revision {oldest} or from now on (0).",
                    metadata={"oldest_revision": str(oldest)},
                )
            query = select(CHANGE).where(CHANGE.c.revision >= start_revision).order_by(CHANGE.c.revision).limit(limit)
            if kinds:
                query = query.where(CHANGE.c.kind.in_(kinds))
            rows = [dict(row) for row in connection.execute(query).mappings()]
            return rows, rows[-1]["revision"] if len(rows) == limit else head

        return await self._database.read(read)

    async def forget_before(self, time_us: int) -> int:
        """Drop changes that were committed before a time; the number dropped.

        All from the first one on that is younger stay, also those that a clock which had gone wrong has made older.
        """

        def drop(connection: Connection) -> int:
            young = (
                select(CHANGE.c.revision).where(CHANGE.c.create_time >= time_us).order_by(CHANGE.c.revision).limit(1)
            )
            oldest = connection.execute(young).scalar()
            if oldest is None:
                oldest = connection.execute(select(CHANGE_HEAD.c.revision)).scalar_one() + 1
            dropped = connection.execute(delete(CHANGE).where(CHANGE.c.revision < oldest)).rowcount
            if dropped:
                connection.execute(update(CHANGE_HEAD).values(oldest_revision=oldest))
            return dropped

        return await self._database.write(drop)
