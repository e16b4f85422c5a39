"""Receivers of alerts that hang, and what nobody foresaw: none keeps the others from being told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from imaging.database import Database
from imaging.pipeline.v1 import pipeline_pb2
from imaging.settings.webhook import Webhook
from pipeline_svc.alerts.alert_table import AlertTable
from pipeline_svc.alerts.webhooks import WebhookDelivery

TRIED_AGAIN = pipeline_pb2.AlertDelivery.STATE_PENDING
DELIVERED = pipeline_pb2.AlertDelivery.STATE_DELIVERED


@asynccontextmanager
async def answering(*, drips: bool) -> AsyncIterator[str]:
    """The URL of a receiver that takes each alert; or gives an answer that never ends, a byte at a time."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\nx-slow: " if drips else b"HTTP/1.1 204 No Content\r\n\r\n")
            while drips:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@asynccontextmanager
async def telling(
    database: Database, webhooks: dict[str, Webhook], answer_within: timedelta = timedelta(minutes=1)
) -> AsyncIterator[AlertTable]:
    """The alerts, while they are told."""
    table = AlertTable(database, webhooks)
    storage: Any = None  # no webhook here includes anything of it
    delivery = WebhookDelivery(table, webhooks, storage, timedelta(seconds=0.02), answer_within)
    task = asyncio.create_task(delivery.run())
    try:
        yield table
    finally:
        task.cancel()
        await asyncio.wait({task})


async def raise_alert(table: AlertTable, number: int) -> str:
    alert = pipeline_pb2.Alert(name=f"alerts/{number}", rule="r", run="runs/1", study="studies/1")
    await table.raise_all([alert])
    return alert.name


async def tried(table: AlertTable, alert: str, webhook: str) -> Any:
    """The delivery to a webhook, once it was tried."""
    async with asyncio.timeout(20):
        while True:
            found = {delivery.webhook: delivery for delivery in (await table.get(alert)).deliveries}
            if found[webhook].attempts:
                return found[webhook]
            await asyncio.sleep(0.02)


async def test_one_that_drips_keeps_no_other_waiting(database: Database, secret_file: Path) -> None:
    async with answering(drips=True) as slow, answering(drips=False) as good:
        webhooks = {name: Webhook(url=url, secret_file=secret_file) for name, url in (("slow", slow), ("good", good))}
        async with telling(database, webhooks) as table:
            for number in range(2):
                alert = await raise_alert(table, number)
                assert (await tried(table, alert, "good")).state == DELIVERED
            waiting = {delivery.webhook: delivery.attempts for delivery in (await table.get("alerts/0")).deliveries}
    assert waiting == {"good": 1, "slow": 0}


async def test_one_that_drips_has_so_long_for_all_of_its_answer(database: Database, secret_file: Path) -> None:
    async with answering(drips=True) as slow:
        webhooks = {"slow": Webhook(url=slow, secret_file=secret_file)}
        async with telling(database, webhooks, timedelta(seconds=0.3)) as table:
            delivery = await tried(table, await raise_alert(table, 1), "slow")
    assert (delivery.state, delivery.error) == (TRIED_AGAIN, "It has not answered within 0.3 s")


async def test_what_was_just_taken_when_the_service_ends_is_due_at_once(database: Database, secret_file: Path) -> None:
    taken, may_go_on = asyncio.Event(), asyncio.Event()

    class Table(AlertTable):
        async def take_due(self, webhook: str, busy_for: timedelta, limit: int = 32) -> list[pipeline_pb2.Alert]:
            due = await super().take_due(webhook, busy_for, limit)
            taken.set()
            await may_go_on.wait()
            return due

    webhooks = {"ward": Webhook(url="http://127.0.0.1:1/", secret_file=secret_file)}
    table, storage = Table(database, webhooks), cast("Any", None)
    alert = await raise_alert(table, 1)
    task = asyncio.create_task(WebhookDelivery(table, webhooks, storage, timedelta(seconds=0.02)).run())
    await taken.wait()
    task.cancel()
    may_go_on.set()
    await asyncio.wait({task})
    due = await AlertTable(database, webhooks).take_due("ward", timedelta(minutes=2))
    assert [one.name for one in due] == [alert]


async def test_an_unforeseen_error_is_shown_and_tried_again_as_any_other(database: Database, secret_file: Path) -> None:
    # The settings refuse it: what they cannot foresee looks like this.
    hostless = Webhook.model_construct(
        url="https://xn--.example/", secret_file=secret_file, include=frozenset(), ca_file=None
    )
    async with telling(database, {"odd": hostless}) as table:
        delivery = await tried(table, await raise_alert(table, 1), "odd")
    assert (delivery.state, delivery.error) == (TRIED_AGAIN, "It cannot be told (IDNAError)")
