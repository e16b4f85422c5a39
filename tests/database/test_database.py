"""The database seam: group commit, isolation of failures, snapshots, versions, the lock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, event, func, insert, select
from sqlalchemy.exc import IntegrityError

from imaging.database import Database, DatabaseAccess, Tables, defer
from imaging.database.column_types import text
from imaging.errors import NotFound, StorageFull, Unavailable
from tests.database.databases import Databases

METADATA = MetaData()
ITEM = Table("item", METADATA, Column("name", text(), primary_key=True), Column("revision", Integer))
TABLES = Tables(METADATA, Path(__file__).with_name("migrations"))


@pytest.fixture
def access(tmp_path: Path, databases: Databases) -> DatabaseAccess:
    return databases.access(tmp_path)


@pytest.fixture
async def database(access: DatabaseAccess) -> AsyncIterator[Database]:
    opened = Database.open(access, TABLES)
    yield opened
    await opened.close()


def put(name: str) -> Any:
    return lambda connection: connection.execute(insert(ITEM).values(name=name))


async def names(database: Database) -> list[str]:
    return await database.read(lambda c: list(c.execute(select(ITEM.c.name).order_by(ITEM.c.name)).scalars()))


async def test_a_write_is_seen_by_the_next_read(database: Database) -> None:
    assert (
        await database.write(lambda c: c.execute(insert(ITEM).values(name="a").returning(ITEM.c.name)).scalar()) == "a"
    )
    assert await names(database) == ["a"]


async def test_concurrent_writes_share_commits(database: Database) -> None:
    commits = 0

    def count(_: Connection) -> None:
        nonlocal commits
        commits += 1

    event.listen(database._backend.writer, "commit", count)
    await asyncio.gather(*(database.write(put(f"{n:03}")) for n in range(200)))
    assert len(await names(database)) == 200
    assert commits < 50


async def test_a_failing_write_is_undone_alone(database: Database) -> None:
    def half(connection: Connection) -> None:
        put("half")(connection)
        raise NotFound("nothing there")

    results = await asyncio.gather(
        database.write(put("a")), database.write(half), database.write(put("b")), return_exceptions=True
    )
    assert isinstance(results[1], NotFound)
    assert await names(database) == ["a", "b"]


async def test_a_failing_write_without_company_leaves_nothing_and_the_next_one_stands(database: Database) -> None:
    def half(connection: Connection) -> None:
        put("half")(connection)
        raise NotFound("nothing there")

    with pytest.raises(NotFound):
        await database.write(half)
    await database.write(put("a"))
    assert await names(database) == ["a"]


async def test_a_broken_constraint_reaches_its_caller_without_the_values(database: Database) -> None:
    await database.write(put("secret"))
    with pytest.raises(IntegrityError) as caught:
        await database.write(put("secret"))
    assert "secret" not in str(caught.value)
    await database.write(put("other"))


async def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.read(put("a"))


async def test_a_read_that_fails_half_way_does_not_hold_its_connection_in_the_past(database: Database) -> None:
    def fail(connection: Connection) -> None:
        found = connection.execute(select(ITEM.c.name))
        raise NotFound(f"after {found.fetchone()}")

    await asyncio.gather(*(database.write(put(f"{n}")) for n in range(10)))
    errors = await asyncio.gather(*(database.read(fail) for _ in range(8)), return_exceptions=True)
    await database.write(put("new"))
    for _ in range(8):
        assert "new" in await names(database)
    assert {type(error) for error in errors} == {NotFound}  # they, and what they hold, live until here


async def test_a_read_sees_one_snapshot(database: Database) -> None:
    loop = asyncio.get_running_loop()

    def twice(connection: Connection) -> tuple[int, int]:
        count = select(func.count()).select_from(ITEM)
        first = connection.execute(count).scalar_one()
        asyncio.run_coroutine_threadsafe(database.write(put("between")), loop).result()
        return first, connection.execute(count).scalar_one()

    assert await database.read(twice) == (0, 0)
    assert await names(database) == ["between"]


async def test_deferred_items_reach_finish_in_order_and_only_for_writes_that_stand(access: DatabaseAccess) -> None:
    seen: list[list[Any]] = []

    def finish(connection: Connection, items: Sequence[Any]) -> None:
        seen.append(list(items))

    def write(name: str, *, fail: bool = False) -> Any:
        def run(connection: Connection) -> None:
            put(name)(connection)
            defer(connection, name)
            if fail:
                raise NotFound("no")

        return run

    database = Database.open(access, TABLES, finish=finish)
    await asyncio.gather(
        database.write(write("a")),
        database.write(write("b", fail=True)),
        database.write(write("c")),
        return_exceptions=True,
    )
    await database.close()
    assert [name for group in seen for name in group] == ["a", "c"]


async def test_a_failing_finish_fails_the_whole_group_and_records_nothing(access: DatabaseAccess) -> None:
    def finish(connection: Connection, items: Sequence[Any]) -> None:
        raise StorageFull("no room")

    def run(connection: Connection) -> None:
        put("a")(connection)
        defer(connection, "a")

    database = Database.open(access, TABLES, finish=finish)
    with pytest.raises(StorageFull):
        await database.write(run)
    assert await names(database) == []
    await database.close()


async def test_what_was_written_is_there_after_reopening(access: DatabaseAccess) -> None:
    first = Database.open(access, TABLES)
    await first.write(put("a"))
    await first.close()
    await first.close()
    with pytest.raises(Unavailable):
        await first.write(put("b"))
    second = Database.open(access, TABLES)
    assert await names(second) == ["a"]
    await second.close()


async def test_a_cancelled_caller_does_not_disturb_the_others(database: Database) -> None:
    task = asyncio.ensure_future(database.write(put("a")))
    await asyncio.sleep(0)
    task.cancel()
    await database.write(put("b"))
    assert await names(database) == ["a", "b"]


async def test_a_full_disk_is_told_as_storage_full_and_writing_goes_on_when_there_is_room(
    databases: Databases, database: Database
) -> None:
    await database.write(lambda connection: databases.take_room(connection, "item"))
    with pytest.raises(StorageFull):
        await database.write(put("x" * 100_000))
    await database.write(lambda connection: databases.give_room(connection, "item"))
    await database.write(put("a"))
    assert await names(database) == ["a"]
