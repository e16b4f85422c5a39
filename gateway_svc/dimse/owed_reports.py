"""Commitment reports that are owed, durable: from before the request is answered until the report was taken."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, select, tuple_, update

from gateway_svc.dimse.commitment import CommitmentRequest
from gateway_svc.schema import COMMITMENT
from imaging.database import Database, clock
from imaging.database.insert_or_update import insert_or_update
from imaging.work.try_again import TryAgain

AGAIN: Final = TryAgain(first_wait=timedelta(seconds=5))
"""An SCU that got no report for a day asks anew (PS3.4 J.3.2)."""

HELD_FOR: Final = timedelta(minutes=2)
"""A report that an acceptor is at is nobody else's for so long, and renewed while it is at it."""

_AT_ONCE: Final = 500
"""Reports in one statement: SQLite takes some thousands of parameters."""


@dataclass(frozen=True, slots=True)
class Owed:
    """Whom a report is owed, and of which transaction."""

    ae_title: str
    transaction_uid: str


class OwedReports:
    """The table of them.

    Attributes
    ----------
    due
        Is set when one may have become due.
    """

    def __init__(self, database: Database, now: Callable[[], datetime] = clock.utc_now) -> None:
        self._database = database
        self._now = now
        self.due = asyncio.Event()

    async def keep(self, ae_title: str, request: CommitmentRequest) -> Owed:
        """A report is owed from now on; who calls is at it."""
        owed, now = Owed(ae_title, request.transaction_uid), self._now()
        row = {
            "ae_title": owed.ae_title,
            "transaction_uid": owed.transaction_uid,
            "instances": zlib.compress(json.dumps(request.references).encode("ascii"), 1),
            "attempts": 0,
            "create_time": clock.to_microseconds(now),
            "next_try_time": clock.to_microseconds(now + HELD_FOR),
        }
        await self._database.write(lambda connection: insert_or_update(connection, COMMITMENT, row))
        return owed

    async def settle(self, owed: Owed) -> None:
        """The report was taken."""
        await self._database.write(lambda connection: _none(connection.execute(delete(COMMITMENT).where(_is(owed)))))

    async def hold(self, held: Collection[Owed]) -> None:
        """Who was at these is still."""
        await self._put_off(held, self._now() + HELD_FOR)

    async def release(self, held: Collection[Owed]) -> None:
        """Nobody is at these any more: they are due."""
        await self._put_off(held, self._now())
        self.due.set()

    async def release_all(self) -> None:
        """Nobody is at any: a start of the only gateway that there is."""
        values = {"next_try_time": clock.to_microseconds(self._now())}
        await self._database.write(lambda connection: _none(connection.execute(update(COMMITMENT).values(**values))))

    async def take_due(self, busy_for: timedelta, limit: int = 16) -> list[tuple[Owed, CommitmentRequest]]:
        """Those whose time has come, put off by `busy_for`, so that no other replica takes them meanwhile."""
        now = self._now()
        query = (
            select(COMMITMENT)
            .where(COMMITMENT.c.next_try_time <= clock.to_microseconds(now))
            .order_by(COMMITMENT.c.next_try_time)
            .limit(limit)
        )

        def take(connection: Connection) -> list[RowMapping]:
            found = list(connection.execute(query.with_for_update(skip_locked=True)).mappings())
            for row in found:
                values = {"next_try_time": clock.to_microseconds(now + busy_for)}
                connection.execute(update(COMMITMENT).where(_is(_owed(row))).values(**values))
            return found

        if not await self._database.read(lambda connection: connection.execute(query.limit(1)).first()):
            return []  # mostly: a write would be a commit for nothing
        return [(_owed(row), _request(row)) for row in await self._database.write(take)]

    async def fail(self, owed: Owed) -> bool:
        """A try has failed: there is a next one, or after a day none any more (False)."""
        now = self._now()

        def write(connection: Connection) -> bool:
            row = connection.execute(select(COMMITMENT).where(_is(owed))).mappings().first()
            if row is None:
                return True
            attempts = row["attempts"] + 1
            following = AGAIN.next_try(attempts, clock.from_microseconds(row["create_time"]), now)
            if following is None:
                connection.execute(delete(COMMITMENT).where(_is(owed)))
                return False
            values = {"attempts": attempts, "next_try_time": clock.to_microseconds(following)}
            connection.execute(update(COMMITMENT).where(_is(owed)).values(**values))
            return True

        return await self._database.write(write)

    async def _put_off(self, held: Collection[Owed], until: datetime) -> None:
        keys = sorted((owed.ae_title, owed.transaction_uid) for owed in held)
        key = tuple_(COMMITMENT.c.ae_title, COMMITMENT.c.transaction_uid)

        def write(connection: Connection) -> None:
            for start in range(0, len(keys), _AT_ONCE):
                which = key.in_(keys[start : start + _AT_ONCE])
                connection.execute(update(COMMITMENT).where(which).values(next_try_time=clock.to_microseconds(until)))

        if keys:
            await self._database.write(write)


def _is(owed: Owed) -> ColumnElement[bool]:
    return and_(COMMITMENT.c.ae_title == owed.ae_title, COMMITMENT.c.transaction_uid == owed.transaction_uid)


def _owed(row: RowMapping) -> Owed:
    return Owed(row["ae_title"], row["transaction_uid"])


def _request(row: RowMapping) -> CommitmentRequest:
    references = json.loads(zlib.decompress(row["instances"]))
    return CommitmentRequest(row["transaction_uid"], tuple((sop_class, uid) for sop_class, uid in references))


def _none(_: Any) -> None:
    """For writes that have nothing to give back."""
