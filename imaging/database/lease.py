"""A lease: what only one of several processes on a database may do at a time, and who does it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import timedelta

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Table,
    cast,
    func,
    select,
    update,
)

from imaging.database.column_types import text
from imaging.database.database import Database
from imaging.errors import ImagingError

_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another process holds the lease; what was begun under it is not recorded."""


def lease_table(metadata: MetaData) -> Table:
    """The table of a lease. Its migration puts the one row in, with an empty holder."""
    return Table(
        "lease",
        metadata,
        # The one row has 1.
        Column("id", Integer, primary_key=True),
        # Made up by each process; empty while nobody holds it.
        Column("holder", text(32), nullable=False),
        # Microseconds since 1970 by the clock of the database, the only one that all agree on.
        Column("expires_us", BigInteger, nullable=False),
    )


class Lease:
    """Held by at most one process: taken, extended while the process lives, given back when it ends.

    Nobody knows of a process that stops answering whether it is dead, so its lease ends by itself after `time_to_live`.
    Should it go on afterwards, it can record nothing any more: `require` stands in every transaction that belongs to
    the lease, and locks the row, so that nobody takes the lease between that and the commit.

    A SQLite file is of one process anyway, which always holds the lease of it.
    """

    def __init__(
        self,
        database: Database,
        table: Table,
        *,
        time_to_live: timedelta = timedelta(seconds=8),
        look_every: timedelta = timedelta(seconds=1),
    ) -> None:
        self._database = database
        self._table = table
        self._holder = secrets.token_hex(8)
        self._time_to_live_us = int(time_to_live.total_seconds() * 1_000_000)
        self._look_every_s = look_every.total_seconds()

    async def take(self) -> None:
        """Wait until nobody else holds it, and take it."""
        while self._database.is_shared:
            try:
                if await self._database.write(self._try_to_take):
                    return
            except ImagingError as error:
                _log.warning("the lease cannot be looked at", extra={"error": error.text})
            await asyncio.sleep(self._look_every_s)

    async def keep(self) -> None:
        """Extend it for as long as it is ours.

        Raises
        ------
        LeaseLost
            When another process has taken it, which it may after this one was silent for too long.
        """
        while True:
            await asyncio.sleep(self._look_every_s)
            if not self._database.is_shared:
                continue
            try:
                await self._database.write(self._extend)
            except ImagingError as error:
                _log.warning("the lease cannot be extended now", extra={"error": error.text})

    async def give_back(self) -> None:
        """Let another process take it at once; nothing if it is not ours."""
        if self._database.is_shared:
            ours = (self._table.c.id == 1) & (self._table.c.holder == self._holder)
            await self._database.write(
                lambda connection: connection.execute(update(self._table).where(ours).values(holder="", expires_us=0))
            )

    def require(self, connection: Connection) -> None:
        """Pass if it is ours, and stays so until the transaction ends.

        Raises
        ------
        LeaseLost
            If it is not.
        """
        if self._database.is_shared:
            query = select(self._table.c.holder).where(self._table.c.id == 1).with_for_update(read=True)
            if connection.execute(query).scalar_one() != self._holder:
                raise LeaseLost

    def _try_to_take(self, connection: Connection) -> bool:
        free = (self._table.c.holder == self._holder) | (self._table.c.expires_us < _now_us())
        return self._hold_where(connection, free)

    def _extend(self, connection: Connection) -> None:
        # Also when it has run out meanwhile, as long as nobody else has taken it.
        if not self._hold_where(connection, self._table.c.holder == self._holder):
            raise LeaseLost

    def _hold_where(self, connection: Connection, condition: ColumnElement[bool]) -> bool:
        changed = connection.execute(
            update(self._table)
            .where(self._table.c.id == 1, condition)
            .values(holder=self._holder, expires_us=_now_us() + self._time_to_live_us)
        )
        return bool(changed.rowcount)


def _now_us() -> ColumnElement[int]:
    """Of PostgreSQL, at this statement: a transaction may have waited since it began."""
    return cast(func.extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)
