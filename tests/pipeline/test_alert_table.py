"""The table of alerts: when each webhook is told next, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from imaging.database import Database
from imaging.pipeline.v1 import pipeline_pb2
from imaging.work.try_again import TryAgain
from pipeline_svc.alerts.alert_table import AlertTable
from pipeline_svc.alerts.rules import alerts_of
from pipeline_svc.recipes.alert_rule import AlertRule
from tests.pipeline.alerted_runs import OneRun, finding


async def test_waits_grow_until_a_delivery_is_given_up(database: Database) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    again = TryAgain(timedelta(seconds=5), timedelta(seconds=20), timedelta(minutes=1))
    table = AlertTable(database, ["ward"], again, now=lambda: now)
    run: Any = OneRun
    rules = [AlertRule(alert="a", finding="*", above=1)]
    assert await table.raise_all(alerts_of(run, rules, [finding()])) == 1
    assert await table.raise_all(alerts_of(run, rules, [finding()])) == 0
    waits: list[float] = []
    while due := await table.take_due("ward", timedelta(minutes=2)):
        assert await table.take_due("ward", timedelta(minutes=2)) == []  # another replica keeps off
        await table.put_back("ward", due)  # this one ends
        assert await table.take_due("ward", timedelta(minutes=2)) == due
        (alert,) = due
        assert await table.take_due("ward", timedelta(minutes=2)) == []  # another replica keeps off
        await table.told(alert.name, "ward", "It does not answer")
        (delivery,) = (await table.get(alert.name)).deliveries
        if delivery.state == pipeline_pb2.AlertDelivery.STATE_PENDING:
            following = delivery.next_try_time.ToDatetime(UTC)
            waits.append((following - now).total_seconds())
            now = following
    assert waits == [5, 10, 20, 20]
    assert (delivery.state, delivery.attempts) == (pipeline_pb2.AlertDelivery.STATE_GIVEN_UP, 5)
    await table.redeliver(alert.name)
    assert [one.name for one in await table.take_due("ward", timedelta(minutes=2))] == [alert.name]
    await table.told(alert.name, "ward", "It does not answer")
    (delivery,) = (await table.get(alert.name)).deliveries
    assert delivery.next_try_time.ToDatetime(UTC) - now == timedelta(seconds=5), "told anew, it waits as at first"


async def test_what_a_webhook_was_to_be_told_that_is_no_more_is_given_up(database: Database) -> None:
    run: Any = OneRun
    before, now = AlertTable(database, ["old", "ward"]), AlertTable(database, ["ward"])
    await before.raise_all(alerts_of(run, [AlertRule(alert="a", finding="*", above=1)], [finding()]))
    await now.give_up_strangers()
    (alert,) = await now.since(0)
    states = {delivery.webhook: (delivery.state, delivery.error) for delivery in alert.deliveries}
    assert states == {
        "old": (pipeline_pb2.AlertDelivery.STATE_GIVEN_UP, "The settings name no such webhook"),
        "ward": (pipeline_pb2.AlertDelivery.STATE_PENDING, ""),
    }
