"""Group commit: concurrent writes share one transaction and one fsync; each stands or falls alone."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Transaction
from sqlalchemy.exc import DBAPIError

from imaging.database.failure import domain_error, is_full
from imaging.errors import Unavailable

MAX_GROUP = 256
"""Writes in one transaction; bounds how long the first of a group waits for the last."""

Finish = Callable[[Connection, Sequence[Any]], None]
"""Gets what the writes of a group have deferred, in order, as the last statements before the commit."""

_DEFERRED = "imaging.deferred"
_log = logging.getLogger(__name__)


def defer(connection: Connection, item: object) -> None:
    """Hand `item` to the database's `finish` function, which runs at the end of this group commit.

    It is dropped when the write that deferred it fails. For what must come last in a transaction, such as taking the
    next revisions from a row that all writers share.
    """
    connection.info[_DEFERRED].append(item)


@dataclass(frozen=True, slots=True)
class _Write:
    function: Callable[[Connection], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class GroupCommit:
    """The one thread that writes: takes what has queued up while the last commit ran, and commits it as one group."""

    def __init__(self, engine: Engine, finish: Finish | None, *, name: str) -> None:
        self._connection = engine.connect()
        self._finish = finish
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._broken: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"database-writer-{name}", daemon=True)
        self._thread.start()

    async def write(self, function: Callable[[Connection], Any]) -> Any:
        """What `function` returns, once its group is durably committed."""
        if self._closed:
            raise Unavailable("The database is closed", hint="The service is stopping; try again later.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put(_Write(function, future, loop))
        return await future

    def close(self) -> None:
        """Commit what has queued up, then end the thread. Blocks; may be called twice."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        ending = False
        while not ending:
            group: list[_Write] = []
            item = self._queue.get()
            while True:
                if item is None:
                    ending = True
                else:
                    group.append(item)
                if len(group) >= MAX_GROUP:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if group:
                _resolve(group, self._commit(group))
        self._connection.close()

    def _commit(self, group: list[_Write]) -> list[tuple[bool, Any]]:
        if self._broken is not None:
            return [(False, self._broken)] * len(group)
        deferred: list[Any] = []
        try:
            transaction = self._connection.begin()
        except Exception as error:  # noqa: BLE001 - as below; this thread must live on
            _log.exception("a group of %d writes could not begin", len(group))
            return [(False, domain_error(error, doing="writing"))] * len(group)
        try:
            outcomes = [self._apply(write, deferred) for write in group]
            if self._finish is not None and deferred:
                self._finish(self._connection, deferred)
        except Exception as error:  # noqa: BLE001 - whatever it is, every writer of the group must hear of it
            _log.exception("a group of %d writes failed before its commit", len(group))
            _roll_back(transaction)
            return [(False, domain_error(error, doing="writing"))] * len(group)
        try:
            transaction.commit()
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("a group commit of %d writes failed", len(group))
            _roll_back(transaction)
            if not is_full(error):
                # After a failed fsync nobody knows which pages are on disk: only a restart, which recovers from the
                # log, may write again.
                self._broken = Unavailable(
                    "The database stopped writing after a failed commit",
                    hint="Check the disk and the service's log, then restart the service.",
                )
            return [(False, domain_error(error, doing="committing"))] * len(group)
        return outcomes

    def _apply(self, write: _Write, deferred: list[Any]) -> tuple[bool, Any]:
        own: list[Any] = []
        self._connection.info[_DEFERRED] = own
        savepoint = self._connection.begin_nested()
        try:
            value = write.function(self._connection)
            savepoint.commit()
        except Exception as error:
            if not _roll_back(savepoint):
                # SQLite rolls the whole transaction back by itself on a full disk or an I/O error; going on would
                # commit the rest alone.
                raise
            return False, domain_error(error, doing="writing")
        deferred.extend(own)
        return True, value


def _roll_back(transaction: Transaction) -> bool:
    try:
        transaction.rollback()
    except DBAPIError:
        return False
    return True


def _resolve(group: list[_Write], outcomes: list[tuple[bool, Any]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], bool, Any]]] = {}
    for write, (succeeded, value) in zip(group, outcomes, strict=True):
        by_loop.setdefault(write.loop, []).append((write.future, succeeded, value))
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, settled)
        except RuntimeError:
            _log.debug("the event loop of %d committed writes is closed", len(settled))


def _settle(settled: list[tuple[asyncio.Future[Any], bool, Any]]) -> None:
    for future, succeeded, value in settled:
        if future.done():  # its caller was cancelled; the write stands
            continue
        if succeeded:
            future.set_result(value)
        else:
            future.set_exception(value)
