"""The alerts, durable, each once; and their deliveries, from the same transaction on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from imaging.database import Database, clock
from imaging.errors import NotFound
from imaging.pipeline.v1 import pipeline_pb2
from imaging.rpc.page_token import decode_token, encode_token, page_size, query_digest
from imaging.work.try_again import TryAgain
from pipeline_svc.schema import ALERT_DELIVERIES, ALERTS

_PENDING: Final = pipeline_pb2.AlertDelivery.STATE_PENDING
_DELIVERED: Final = pipeline_pb2.AlertDelivery.STATE_DELIVERED
_GIVEN_UP: Final = pipeline_pb2.AlertDelivery.STATE_GIVEN_UP


DEFAULT_AGAIN: Final = TryAgain(first_wait=timedelta(seconds=5))


class AlertTable:
    """The alerts of all runs.

    Parameters
    ----------
    webhooks
        Names of those that new alerts are told to.
    on_duty
        Raises `LeaseLost` where another replica carries the runs.
    """

    def __init__(
        self,
        database: Database,
        webhooks: Collection[str] = (),
        again: TryAgain = DEFAULT_AGAIN,
        on_duty: Callable[[Connection], None] = lambda _: None,
        now: Callable[[], datetime] = clock.utc_now,
    ) -> None:
        self._on_duty = on_duty
        self._database = database
        self._webhooks = sorted(webhooks)
        self._again = again
        self._now = now

    async def raise_all(self, alerts: Iterable[pipeline_pb2.Alert]) -> int:
        """Keep alerts, each once, whoever raises it again; the number of new ones."""
        wanted, now_us = list(alerts), clock.to_microseconds(self._now())

        def write(connection: Connection) -> int:
            self._on_duty(connection)
            query = select(ALERTS.c.id).where(ALERTS.c.id.in_([_id(alert.name) for alert in wanted]))
            known = set(connection.execute(query).scalars())
            new = [alert for alert in wanted if _id(alert.name) not in known]
            for alert in new:
                row = {"id": _id(alert.name), "rule": alert.rule, "run_id": _id(alert.run), "study": alert.study}
                message = alert.SerializeToString(deterministic=True)
                connection.execute(insert(ALERTS).values(**row, message=message, create_time_us=now_us))
                for webhook in self._webhooks:
                    delivery = {"alert_id": _id(alert.name), "webhook": webhook, "state": _PENDING, "attempts": 0}
                    times = {"since_us": now_us, "next_try_us": now_us}
                    connection.execute(insert(ALERT_DELIVERIES).values(**delivery, **times, error=""))
            return len(new)

        return await self._database.write(write) if wanted else 0

    async def page(self, study: str, only_open: bool, size: int, token: str) -> tuple[list[pipeline_pb2.Alert], str]:
        """Alerts, newest first, and the token of the next page.

        Raises
        ------
        InvalidArgument
            If the token or the size is none.
        """
        size, digest = page_size(size), query_digest(study, only_open)
        position = decode_token(token, digest, [int])
        query = select(ALERTS).order_by(ALERTS.c.number.desc()).limit(size + 1)
        if study:
            query = query.where(ALERTS.c.study == study)
        if only_open:
            query = query.where(ALERTS.c.acknowledge_time_us.is_(None))
        if position:
            query = query.where(ALERTS.c.number < int(position[0]))
        found = await self._read(query)
        return found[:size], encode_token([found[size - 1].revision], digest) if len(found) > size else ""

    async def since(self, revision: int, limit: int = 100) -> list[pipeline_pb2.Alert]:
        """Alerts from a revision on, oldest first."""
        return await self._read(
            select(ALERTS).where(ALERTS.c.number >= revision).order_by(ALERTS.c.number).limit(limit)
        )

    async def newest_revision(self) -> int:
        """Of the newest alert; 0 without any."""
        query = select(func.max(ALERTS.c.number))
        return int(await self._database.read(lambda connection: connection.execute(query).scalar()) or 0)

    async def get(self, name: str) -> pipeline_pb2.Alert:
        """One alert.

        Raises
        ------
        NotFound
            If it is not there.
        """
        found = await self._read(select(ALERTS).where(ALERTS.c.id == _id(name)))
        if not found or not name.startswith("alerts/"):
            raise NotFound("There is no such alert", where=name[:100], hint="`imaging alerts list` gives their names.")
        return found[0]

    async def acknowledge(self, name: str) -> pipeline_pb2.Alert:
        """Somebody has seen it; the first time counts.

        Raises
        ------
        NotFound
            If it is not there.
        """
        await self.get(name)
        statement = (
            update(ALERTS)
            .where(ALERTS.c.id == _id(name), ALERTS.c.acknowledge_time_us.is_(None))
            .values(acknowledge_time_us=clock.to_microseconds(self._now()))
        )
        await self._database.write(lambda connection: _none(connection.execute(statement)))
        return await self.get(name)

    async def redeliver(self, name: str) -> pipeline_pb2.Alert:
        """It is told now to the webhooks that have not taken it, with waits as if it were new.

        Raises
        ------
        NotFound
            If it is not there.
        """
        await self.get(name)
        now_us = clock.to_microseconds(self._now())
        statement = (
            update(ALERT_DELIVERIES)
            .where(ALERT_DELIVERIES.c.alert_id == _id(name), ALERT_DELIVERIES.c.state != _DELIVERED)
            .values(state=_PENDING, attempts=0, since_us=now_us, next_try_us=now_us)
        )
        await self._database.write(lambda connection: _none(connection.execute(statement)))
        return await self.get(name)

    async def take_due(self, webhook: str, busy_for: timedelta, limit: int = 32) -> list[pipeline_pb2.Alert]:
        """Alerts that a webhook is to be told now, put off so that no other replica takes them too."""
        now = self._now()
        query = (
            select(ALERT_DELIVERIES)
            .where(ALERT_DELIVERIES.c.webhook == webhook, ALERT_DELIVERIES.c.next_try_us <= clock.to_microseconds(now))
            .order_by(ALERT_DELIVERIES.c.next_try_us)
            .limit(limit)
        )

        def take(connection: Connection) -> list[pipeline_pb2.Alert]:
            rows = list(connection.execute(query.with_for_update(skip_locked=True)).mappings())
            for row in rows:
                here, until_us = _key(row["alert_id"], webhook), clock.to_microseconds(now + busy_for)
                connection.execute(update(ALERT_DELIVERIES).where(*here).values(next_try_us=until_us))
            alerts = select(ALERTS).where(ALERTS.c.id.in_([row["alert_id"] for row in rows]))
            messages = {row["id"]: _message(row, ()) for row in connection.execute(alerts).mappings()}
            return [messages[row["alert_id"]] for row in rows]

        if not await self._database.read(lambda connection: connection.execute(query.limit(1)).first()):
            return []  # mostly: a write would be a commit for nothing
        return await self._database.write(take)

    async def put_back(self, webhook: str, taken: Iterable[pipeline_pb2.Alert]) -> None:
        """Who took these is at them no more: those that the webhook is still to be told are due."""
        now_us = clock.to_microseconds(self._now())

        def write(connection: Connection) -> None:
            for alert in taken:
                still = (*_key(_id(alert.name), webhook), ALERT_DELIVERIES.c.next_try_us.is_not(None))
                connection.execute(update(ALERT_DELIVERIES).where(*still).values(next_try_us=now_us))

        await self._database.write(write)

    async def give_up_strangers(self) -> None:
        """Give up what is to be told to webhooks that the settings name no more."""
        here = (ALERT_DELIVERIES.c.webhook.not_in(self._webhooks), ALERT_DELIVERIES.c.next_try_us.is_not(None))
        query = select(ALERT_DELIVERIES.c.alert_id).where(*here).limit(1)
        values = {"state": _GIVEN_UP, "next_try_us": None, "error": "The settings name no such webhook"}
        statement = update(ALERT_DELIVERIES).where(*here).values(**values)
        if await self._database.read(lambda connection: connection.execute(query).first()):
            await self._database.write(lambda connection: _none(connection.execute(statement)))

    async def told(self, alert: str, webhook: str, error: str, *, is_final: bool = False) -> None:
        """What became of a try; an empty error: it was taken. `is_final`: it would fail again."""
        now = self._now()

        def write(connection: Connection) -> None:
            here = _key(_id(alert), webhook)
            row = connection.execute(select(ALERT_DELIVERIES).where(*here)).mappings().one()
            attempts = row["attempts"] + 1
            update_us = clock.to_microseconds(now)
            values: dict[str, Any] = {"attempts": attempts, "error": error, "update_time_us": update_us}
            next_try = self._again.next_try(attempts, clock.from_microseconds(row["since_us"]), now)
            if not error:
                values |= {"state": _DELIVERED, "next_try_us": None}
            elif is_final or next_try is None:
                values |= {"state": _GIVEN_UP, "next_try_us": None}
            else:
                values |= {"state": _PENDING, "next_try_us": clock.to_microseconds(next_try)}
            connection.execute(update(ALERT_DELIVERIES).where(*here).values(**values))

        await self._database.write(write)

    async def _read(self, query: Any) -> list[pipeline_pb2.Alert]:
        def read(connection: Connection) -> list[pipeline_pb2.Alert]:
            rows = connection.execute(query).mappings().all()
            wanted = select(ALERT_DELIVERIES).where(ALERT_DELIVERIES.c.alert_id.in_([row["id"] for row in rows]))
            deliveries = connection.execute(wanted.order_by(ALERT_DELIVERIES.c.webhook)).mappings().all()
            return [_message(row, [one for one in deliveries if one["alert_id"] == row["id"]]) for row in rows]

        return await self._database.read(read)


def _id(name: str) -> str:
    return name.partition("/")[2]


def _key(alert_id: str, webhook: str) -> tuple[Any, Any]:
    return ALERT_DELIVERIES.c.alert_id == alert_id, ALERT_DELIVERIES.c.webhook == webhook


def _none(_: Any) -> None:
    """For writes that have nothing to give back."""


def _message(row: RowMapping, deliveries: Sequence[RowMapping]) -> pipeline_pb2.Alert:
    alert = pipeline_pb2.Alert.FromString(row["message"])
    alert.revision = row["number"]
    alert.create_time.CopyFrom(clock.timestamp(row["create_time_us"]))
    if row["acknowledge_time_us"] is not None:
        alert.acknowledge_time.CopyFrom(clock.timestamp(row["acknowledge_time_us"]))
    for one in deliveries:
        delivery = alert.deliveries.add(
            webhook=one["webhook"], state=one["state"], attempts=one["attempts"], error=one["error"]
        )
        if one["next_try_us"] is not None:
            delivery.next_try_time.CopyFrom(clock.timestamp(one["next_try_us"]))
        if one["update_time_us"] is not None:
            delivery.update_time.CopyFrom(clock.timestamp(one["update_time_us"]))
    return alert
