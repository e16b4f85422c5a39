"""Reports that are owed: however many, and by whomever they are written down, and always delivered by one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Row, insert, select

from gateway_svc.dimse.commitment import CommitmentRequest
from gateway_svc.dimse.owed_reports import HELD_FOR, Owed, OwedReports
from gateway_svc.schema import COMMITMENT, TABLES
from imaging.database import Database
from tests.database.databases import Databases

INSTANCES = (("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1.1"),)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def database(databases: Databases, tmp_path: Path) -> AsyncIterator[Database]:
    """The gateway's."""
    opened = Database.open(databases.access(tmp_path), TABLES)
    yield opened
    await opened.close()


async def test_any_number_of_reports_is_held_and_released(database: Database) -> None:
    clock = Clock()
    reports = OwedReports(database, clock)
    held = [Owed("CT", f"1.2.3.{number}") for number in range(2500)]
    rows = [
        {
            "ae_title": owed.ae_title,
            "transaction_uid": owed.transaction_uid,
            "instances": b"",
            "attempts": 0,
            "create_time": 0,
            "next_try_time": 0,
        }
        for owed in held
    ]
    await database.write(lambda connection: connection.execute(insert(COMMITMENT), rows) and None)
    kept = await reports.keep("MR", CommitmentRequest("1.2.3.0", INSTANCES))  # the same transaction, of another AE
    await reports.hold(held)
    assert await reports.take_due(HELD_FOR) == []
    clock.now += HELD_FOR
    await reports.hold(held)
    assert [owed for owed, _ in await reports.take_due(HELD_FOR)] == [kept]
    await reports.release(held)
    assert {row.next_try_time for row in await database.read(_of_ct)} == {int(clock.now.timestamp() * 1e6)}


def _of_ct(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(select(COMMITMENT).where(COMMITMENT.c.ae_title == "CT")).all()


async def test_a_transaction_that_is_asked_for_again_begins_anew(database: Database) -> None:
    clock = Clock()
    reports = OwedReports(database, clock)
    await reports.keep("CT", CommitmentRequest("1.2.3", INSTANCES))
    again = CommitmentRequest("1.2.3", (*INSTANCES, *INSTANCES))
    clock.now += timedelta(hours=23)
    owed = await reports.keep("CT", again)
    clock.now += timedelta(hours=23)
    assert await reports.take_due(HELD_FOR) == [(owed, again)]
    assert await reports.fail(owed)


async def test_two_replicas_may_write_down_the_same_transaction(databases: Databases, tmp_path: Path) -> None:
    if databases.server is None:
        pytest.skip("SQLite is open in one process")
    access = databases.access(tmp_path)
    replicas = [Database.open(access, TABLES) for _ in range(2)]
    requests = [CommitmentRequest(f"1.2.3.{number}", INSTANCES) for number in range(100)]
    for request in requests:
        await asyncio.gather(*(OwedReports(database).keep("CT", request) for database in replicas))
    taken = await OwedReports(replicas[0], lambda: datetime.now(UTC) + HELD_FOR).take_due(HELD_FOR, limit=1000)
    assert sorted(request.transaction_uid for _, request in taken) == sorted(one.transaction_uid for one in requests)
    for database in replicas:
        await database.close()
