"""The failed sends, durable: what a destination has not taken, when it is tried again, and what was given up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from google.rpc.status_pb2 import Status
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, delete, or_, select, update

from gateway_svc.schema import FAILED_SEND
from imaging.client.patience import is_worth_retrying
from imaging.database import Database, clock
from imaging.database.insert_new import insert_new
from imaging.errors import ImagingError, InvalidArgument
from imaging.gateway.v1 import gateway_pb2
from imaging.rpc.page_token import decode_token, encode_token, page_size, query_digest
from imaging.rpc.status import to_status
from imaging.work.try_again import TryAgain

_AT_ONCE: Final = 500
"""Names in one statement: SQLite takes some thousands of parameters."""


DEFAULT_AGAIN: Final = TryAgain(first_wait=timedelta(minutes=1))


def failed_send_name(destination: str, instance: str) -> str:
    """`failedSends/{id}`, the same one for the same destination and instance."""
    return f"failedSends/{_id(destination, instance)}"


class FailedSends:
    """The table of them."""

    def __init__(
        self,
        database: Database,
        again: TryAgain = DEFAULT_AGAIN,
        now: Callable[[], datetime] = clock.utc_now,
    ) -> None:
        self._database = database
        self._again = again
        self._now = now

    async def record(
        self,
        destination: str,
        sent: Collection[str],
        failed: Mapping[str, ImagingError],
        *,
        run: str = "",
        stage: str = "",
        is_again: bool = False,
    ) -> None:
        """Write down what became of a sending: what was sent leaves the list, what was not is in it.

        Parameters
        ----------
        destination
            `destinations/{id}`.
        sent, failed
            Names of instances, the failed ones with the reason.
        is_again
            It was one of failed sends: they keep the time when they failed first, and one that was dropped meanwhile
            stays so. Otherwise the time in which they are tried by themselves begins anew.
        """
        now = self._now()
        of_destination = FAILED_SEND.c.destination == destination

        def write(connection: Connection) -> None:
            for names in _parts(sorted(sent)):
                connection.execute(delete(FAILED_SEND).where(of_destination, FAILED_SEND.c.instance.in_(names)))
            for names in _parts(sorted(failed)):
                query = select(FAILED_SEND).where(of_destination, FAILED_SEND.c.instance.in_(names)).with_for_update()
                known = {row["instance"]: row for row in connection.execute(query).mappings()}
                for name in names:
                    self._fail(connection, destination, name, failed[name], known.get(name), is_again, run, stage, now)

        if sent or failed:
            await self._database.write(write)

    def _fail(
        self,
        connection: Connection,
        destination: str,
        instance: str,
        error: ImagingError,
        known: RowMapping | None,
        is_again: bool,
        run: str,
        stage: str,
        now: datetime,
    ) -> None:
        if known is None and is_again:
            return
        attempts = known["attempts"] + 1 if known is not None else 1
        values: dict[str, Any] = {
            "attempts": attempts,
            "error": to_status(error).SerializeToString(deterministic=True),
            "update_time": clock.to_microseconds(now),
            "busy_until": None,
        }
        if is_again and known is not None:
            next_try = self._again.next_try(attempts, clock.from_microseconds(known["create_time"]), now)
        else:
            next_try = self._again.next_try(1, now, now)
            values |= {"run": run, "stage": stage, "create_time": clock.to_microseconds(now)}
        if next_try is None or not is_worth_retrying(error):
            values["next_try_time"] = None
        else:
            values["next_try_time"] = clock.to_microseconds(next_try)
        row = {"failed_send_id": _id(destination, instance), "destination": destination, "instance": instance}
        # Another replica may list the same one at this moment.
        if known is not None or not insert_new(connection, FAILED_SEND, [row | values]):
            which = FAILED_SEND.c.failed_send_id == row["failed_send_id"]
            connection.execute(update(FAILED_SEND).where(which).values(**values))

    async def due_destinations(self) -> list[str]:
        """Destinations with a send whose time has come, and that nobody is at."""
        query = select(FAILED_SEND.c.destination).where(*self._is_due()).distinct()
        return await self._database.read(lambda connection: list(connection.execute(query).scalars()))

    async def take_due(self, destination: str, busy_for: timedelta, limit: int) -> list[gateway_pb2.FailedSend]:
        """Sends to a destination whose time has come; nobody else takes them for so long, or until `release`."""
        query = (
            select(FAILED_SEND)
            .where(FAILED_SEND.c.destination == destination, *self._is_due())
            .order_by(FAILED_SEND.c.next_try_time, FAILED_SEND.c.sequence)
            .limit(limit)
        )
        return await self._take(query, busy_for)

    async def take(self, name: str, busy_for: timedelta) -> gateway_pb2.FailedSend | None:
        """One of them, due or not; None if it is not in the list, or somebody is at it."""
        query = select(FAILED_SEND).where(FAILED_SEND.c.failed_send_id == _id_of(name), self._is_free())
        return next(iter(await self._take(query, busy_for)), None)

    async def keep_busy(self, names: Collection[str], busy_for: timedelta) -> None:
        """Who took these is still at them."""
        await self._set_busy(names, clock.to_microseconds(self._now() + busy_for))

    async def release(self, names: Collection[str]) -> None:
        """Who took these is at them no more, and has not tried them: they are as before."""
        await self._set_busy(names, None)

    async def _take(self, query: Select[Any], busy_for: timedelta) -> list[gateway_pb2.FailedSend]:
        until = clock.to_microseconds(self._now() + busy_for)

        def take(connection: Connection) -> list[gateway_pb2.FailedSend]:
            found = list(connection.execute(query.with_for_update(skip_locked=True)).mappings())
            if found:
                taken = FAILED_SEND.c.sequence.in_([row["sequence"] for row in found])
                connection.execute(update(FAILED_SEND).where(taken).values(busy_until=until))
            return [_message(row) for row in found]

        return await self._database.write(take)

    async def _set_busy(self, names: Collection[str], until: int | None) -> None:
        def write(connection: Connection) -> None:
            for ids in _parts(sorted(map(_id_of, names))):
                busy = FAILED_SEND.c.failed_send_id.in_(ids), FAILED_SEND.c.busy_until.is_not(None)
                connection.execute(update(FAILED_SEND).where(*busy).values(busy_until=until))

        if names:
            await self._database.write(write)

    def _is_due(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return FAILED_SEND.c.next_try_time <= clock.to_microseconds(self._now()), self._is_free()

    def _is_free(self) -> ColumnElement[bool]:
        return or_(FAILED_SEND.c.busy_until.is_(None), FAILED_SEND.c.busy_until <= clock.to_microseconds(self._now()))

    async def page(self, destination: str, size: int, token: str) -> tuple[list[gateway_pb2.FailedSend], str]:
        """Those of a destination (empty: of all), newest first, and the token of the next page.

        Raises
        ------
        InvalidArgument
            If the token or the size is none.
        """
        size, digest = page_size(size), query_digest(destination)
        position = decode_token(token, digest, [int])
        query = select(FAILED_SEND).order_by(FAILED_SEND.c.sequence.desc()).limit(size + 1)
        if destination:
            query = query.where(FAILED_SEND.c.destination == destination)
        if position:
            query = query.where(FAILED_SEND.c.sequence < int(position[0]))
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        next_token = encode_token([rows[size - 1]["sequence"]], digest) if len(rows) > size else ""
        return [_message(row) for row in rows[:size]], next_token

    async def get(self, name: str) -> gateway_pb2.FailedSend | None:
        """The failed send `failedSends/{id}`; None if it is not in the list, or not any more.

        Raises
        ------
        InvalidArgument
            If it is no such name.
        """
        query = select(FAILED_SEND).where(FAILED_SEND.c.failed_send_id == _id_of(name))
        row = await self._database.read(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _message(row)

    async def drop(self, name: str) -> None:
        """Take one off the list, if it is there.

        Raises
        ------
        InvalidArgument
            If it is no such name.
        """
        statement = delete(FAILED_SEND).where(FAILED_SEND.c.failed_send_id == _id_of(name))
        await self._database.write(lambda connection: connection.execute(statement) and None)


def _id(destination: str, instance: str) -> str:
    return hashlib.sha256(f"{destination} {instance}".encode()).hexdigest()[:32]


def _id_of(name: str) -> str:
    collection, _, found = name.partition("/")
    if collection != "failedSends" or not found or "/" in found:
        raise InvalidArgument(
            "This is not the name of a failed send", where=name[:100], hint="ListFailedSends gives their names."
        )
    return found


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]


def _message(row: RowMapping) -> gateway_pb2.FailedSend:
    message = gateway_pb2.FailedSend(
        name=f"failedSends/{row['failed_send_id']}",
        destination=row["destination"],
        instance=row["instance"],
        attempts=row["attempts"],
        error=Status.FromString(row["error"]),
        create_time=clock.timestamp(row["create_time"]),
        update_time=clock.timestamp(row["update_time"]),
        run=row["run"],
        stage=row["stage"],
    )
    if row["next_try_time"] is not None:
        message.next_try_time.CopyFrom(clock.timestamp(row["next_try_time"]))
    return message
