"""The database seam: group commit, isolation of failures, snapshots, versions, the lock."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, event, func, insert, select
from sqlalchemy.exc import IntegrityError

from imaging.database import Database, defer
from imaging.errors import FailedPrecondition, InvalidArgument, NotFound, StorageFull, Unavailable

METADATA = MetaData()
ITEM = Table("item", METADATA, Column("name", String, primary_key=True), Column("revision", Integer))


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'sub' / 'test.sqlite'}"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database.open(url(tmp_path), METADATA, schema_version=1)
    yield opened
    await opened.close()


def put(name: str) -> Any:
    return lambda connection: connection.execute(insert(ITEM).values(name=name))


async def names(database: Database) -> list[str]:
    return await database.read(lambda c: list(c.execute(select(ITEM.c.name).order_by(ITEM.c.name)).scalars()))


async def test_a_write_is_seen_by_the_next_read(database: Database) -> None:
    assert await database.write(lambda c: c.execute(insert(ITEM).values(name="a")).rowcount) == 1
    assert await names(database) == ["a"]


async def test_concurrent_writes_share_commits(database: Database) -> None:
    commits = 0

    def count(_: Connection) -> None:
        nonlocal commits
        commits += 1

    event.listen(database._writer_engine, "commit", count)
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


async def test_a_broken_constraint_reaches_its_caller_without_the_values(database: Database) -> None:
    await database.write(put("secret"))
    with pytest.raises(IntegrityError) as caught:
        await database.write(put("secret"))
    assert "secret" not in str(caught.value)
    await database.write(put("other"))


async def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.read(put("a"))


async def test_a_read_sees_one_snapshot(database: Database) -> None:
    loop = asyncio.get_running_loop()

    def twice(connection: Connection) -> tuple[int, int]:
        count = select(func.count()).select_from(ITEM)
        first = connection.execute(count).scalar_one()
        asyncio.run_coroutine_threadsafe(database.write(put("between")), loop).result()
        return first, connection.execute(count).scalar_one()

    assert await database.read(twice) == (0, 0)
    assert await names(database) == ["between"]


async def test_deferred_items_reach_finish_in_order_and_only_for_writes_that_stand(tmp_path: Path) -> None:
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

    database = Database.open(url(tmp_path), METADATA, schema_version=1, finish=finish)
    await asyncio.gather(
        database.write(write("a")),
        database.write(write("b", fail=True)),
        database.write(write("c")),
        return_exceptions=True,
    )
    await database.close()
    assert [name for group in seen for name in group] == ["a", "c"]


async def test_a_failing_finish_fails_the_whole_group_and_records_nothing(tmp_path: Path) -> None:
    def finish(connection: Connection, items: Sequence[Any]) -> None:
        raise StorageFull("no room")

    def run(connection: Connection) -> None:
        put("a")(connection)
        defer(connection, "a")

    database = Database.open(url(tmp_path), METADATA, schema_version=1, finish=finish)
    with pytest.raises(StorageFull):
        await database.write(run)
    assert await names(database) == []
    await database.close()


async def test_commits_are_durable_and_in_wal_mode(database: Database) -> None:
    def pragmas(connection: Connection) -> tuple[Any, Any]:
        return (
            connection.exec_driver_sql("PRAGMA journal_mode").scalar(),
            connection.exec_driver_sql("PRAGMA synchronous").scalar(),
        )

    assert await database.write(pragmas) == ("wal", 2)


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    first = Database.open(url(tmp_path), METADATA, schema_version=1)
    await first.write(put("a"))
    await first.close()
    await first.close()
    with pytest.raises(Unavailable):
        await first.write(put("b"))
    second = Database.open(url(tmp_path), METADATA, schema_version=1)
    assert await names(second) == ["a"]
    await second.close()


@pytest.mark.parametrize(("written", "needed"), [(1, 2), (2, 1)])
async def test_another_schema_version_is_refused_with_a_hint(tmp_path: Path, written: int, needed: int) -> None:
    await Database.open(url(tmp_path), METADATA, schema_version=written).close()
    with pytest.raises(FailedPrecondition) as caught:
        Database.open(url(tmp_path), METADATA, schema_version=needed)
    assert caught.value.metadata == {"found": str(written), "needed": str(needed)}
    await Database.open(url(tmp_path), METADATA, schema_version=written).close()


async def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with sqlite3.connect(tmp_path / "sub" / "test.sqlite") as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    with pytest.raises(FailedPrecondition):
        Database.open(url(tmp_path), METADATA, schema_version=1)


async def test_a_second_opening_is_refused_while_the_first_is_open(tmp_path: Path, database: Database) -> None:
    with pytest.raises(FailedPrecondition):
        Database.open(url(tmp_path), METADATA, schema_version=1)


@pytest.mark.parametrize("bad", ["sqlite://", "sqlite:///:memory:", "postgresql://localhost/x"])
async def test_an_unsupported_url_is_refused(bad: str) -> None:
    with pytest.raises(InvalidArgument):
        Database.open(bad, METADATA, schema_version=1)


async def test_a_cancelled_caller_does_not_disturb_the_others(database: Database) -> None:
    task = asyncio.ensure_future(database.write(put("a")))
    await asyncio.sleep(0)
    task.cancel()
    await database.write(put("b"))
    assert await names(database) == ["a", "b"]


async def test_a_full_disk_is_told_as_storage_full_and_writing_goes_on_when_there_is_room(database: Database) -> None:
    def limit(pages: int) -> Any:
        return lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar()

    await database.write(limit(5))
    with pytest.raises(StorageFull):
        await database.write(put("x" * 100_000))
    await database.write(limit(100_000))
    await database.write(put("a"))
    assert await names(database) == ["a"]


async def test_a_transaction_that_cannot_begin_fails_its_writes_alone_and_writing_goes_on(
    tmp_path: Path, database: Database
) -> None:
    await database.write(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 20"))
    with sqlite3.connect(tmp_path / "sub" / "test.sqlite", isolation_level=None) as other:  # a person with a shell
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable):
                await database.write(put("a"))
        other.execute("ROLLBACK")
    other.close()
    await database.write(put("b"))
    assert await names(database) == ["b"]
