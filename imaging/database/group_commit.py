"""Group commit: concurrent writes share one transaction and one fsync; each stands or falls alone."""

from __future__ import annotations

import asyncio
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Transaction
from sqlalchemy.exc import DBAPIError

from imaging.database.backend import Backend
from imaging.database.failure import domain_error, has_lost_connection, is_full, is_passing, let_cursors_go
from imaging.errors import Unavailable

MAX_GROUP = 256
"""Writes in one transaction; bounds how long the first of a group waits for the last."""

ATTEMPTS = 5
"""How often a group is tried whose transaction other processes, or a lost connection, have undone."""

PAUSE_SECONDS = 0.02
"""Longest pause before the second attempt, so that two processes do not meet again at the same moment."""

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

    def __init__(self, backend: Backend, finish: Finish | None) -> None:
        self._backend = backend
        self._connection: Connection | None = None
        self._finish = finish
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._doubtful: Unavailable | None = None
        """Set after a commit that failed so that nobody knows what of it is on the disk, until that is mended."""
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"database-writer-{backend.name}", daemon=True)
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
        self._let_go()

    def _commit(self, group: list[_Write]) -> list[tuple[bool, Any]]:
        if self._doubtful is not None and not self._mended():
            return [(False, self._doubtful)] * len(group)
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, PAUSE_SECONDS) * attempt)
            try:
                transaction, outcomes = self._prepare(group)
            except Exception as error:  # noqa: BLE001 - whatever it is, every writer of the group must hear of it
                self._undo()
                failure, doing = error, "writing"
            else:
                if not transaction.is_active:  # the only write was undone
                    return outcomes
                try:
                    transaction.commit()
                    return outcomes
                except Exception as error:  # noqa: BLE001 - as above
                    self._undo()
                    if (unsure := self._unsure(error)) is not None:
                        _log.exception("nobody knows whether a group commit stands", extra={"writes": len(group)})
                        return [(False, unsure)] * len(group)
                    failure, doing = error, "committing"
            if not is_passing(failure):
                break
            _log.info("a group commit begins again", extra={"writes": len(group), "error": str(failure)})
        shown = domain_error(failure, doing=doing, where=self._backend.where)
        if shown is failure:  # ours, such as a server that does not answer: told without a stack
            _log.warning("a group commit failed", extra={"writes": len(group), "error": str(shown)})
        else:
            _log.error("a group commit failed", extra={"writes": len(group), "while": doing}, exc_info=failure)
        return [(False, shown)] * len(group)

    def _prepare(self, group: list[_Write]) -> tuple[Transaction, list[tuple[bool, Any]]]:
        """All of the group but its commit."""
        if self._connection is None:
            self._connection = self._backend.writer.connect()
        transaction = self._connection.begin()
        deferred: list[Any] = []
        alone = len(group) == 1
        outcomes = [self._apply(self._connection, write, deferred, alone=alone) for write in group]
        if self._finish is not None and deferred:
            self._finish(self._connection, deferred)
        return transaction, outcomes

    def _undo(self) -> None:
        """Roll back what was begun; a connection that is no good any more is let go."""
        connection = self._connection
        if connection is None:
            return
        transaction = connection.get_transaction()
        if (transaction is not None and not _roll_back(transaction)) or connection.invalidated:
            self._let_go()

    def _mended(self) -> bool:
        """Whether what a failed commit has left is out of the way by now; else nothing more may be written."""
        assert self._backend.mend is not None
        try:
            if self._connection is None:
                self._connection = self._backend.writer.connect()
            self._backend.mend(self._connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, the writers hear that it cannot be written yet
            self._undo()
            _log.warning("the database still cannot be written: %s", type(error).__name__)
            return False
        _log.warning("the database is written again")
        self._doubtful = None
        return True

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unsure(self, error: Exception) -> Unavailable | None:
        """What to tell the writers if their group may or may not be committed; None if it surely is not."""
        if self._backend.mend is None:
            if not has_lost_connection(error):
                return None
            return Unavailable(
                "The connection to the database was lost during a commit, so that nobody knows whether it stands",
                where=self._backend.where,
                hint="Send the request again: what was recorded is recognised.",
                retry_after_seconds=1.0,
            )
        if is_full(error):
            return None
        # After a failed fsync nobody knows which pages are on disk, and a second one would say that all of them are.
        self._doubtful = Unavailable(
            "A commit of the database failed, so that nobody knows whether it stands",
            where=self._backend.where,
            hint="Check the disk and the service's log. It goes on by itself when the disk takes data again: send the"
            " request again then; what was recorded is recognised.",
            retry_after_seconds=1.0,
        )
        return self._doubtful

    def _apply(self, connection: Connection, write: _Write, deferred: list[Any], *, alone: bool) -> tuple[bool, Any]:
        """What became of a write: one that fails is undone to its savepoint, or with the whole of a group of one."""
        own: list[Any] = []
        connection.info[_DEFERRED] = own
        savepoint = None if alone else connection.begin_nested()
        try:
            value = write.function(connection)
            if savepoint is not None:
                savepoint.commit()
        except Exception as error:
            let_cursors_go(error)
            if is_passing(error) or (alone and isinstance(error, DBAPIError)):
                raise
            if not _roll_back(savepoint or connection.get_transaction()):
                # SQLite rolls the whole transaction back by itself on a full disk or an I/O error, PostgreSQL ends
                # one of two that wait for each other: going on would commit the rest alone.
                raise
            return False, domain_error(error, doing="writing", where=self._backend.where)
        deferred.extend(own)
        return True, value


def _roll_back(transaction: Transaction | None) -> bool:
    if transaction is None:
        return False
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
