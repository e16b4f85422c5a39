"""What SQLite alone promises: the write-ahead log, one process a file, full disks, and no foreign files."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from imaging.database import Database, DatabaseAccess
from imaging.errors import FailedPrecondition, InvalidArgument, Unavailable
from tests.database.test_database import TABLES, names, put


@pytest.fixture
def access(tmp_path: Path) -> DatabaseAccess:
    return DatabaseAccess(f"sqlite:///{tmp_path / 'sub' / 'test.sqlite'}")


@pytest.fixture
async def database(access: DatabaseAccess) -> AsyncIterator[Database]:
    opened = Database.open(access, TABLES)
    yield opened
    await opened.close()


async def test_commits_are_durable_and_in_wal_mode(database: Database) -> None:
    def pragmas(connection: Connection) -> tuple[Any, Any]:
        return (
            connection.exec_driver_sql("PRAGMA journal_mode").scalar(),
            connection.exec_driver_sql("PRAGMA synchronous").scalar(),
        )

    assert await database.write(pragmas) == ("wal", 2)


async def test_a_foreign_database_is_left_alone(tmp_path: Path, access: DatabaseAccess) -> None:
    (tmp_path / "sub").mkdir()
    with sqlite3.connect(tmp_path / "sub" / "test.sqlite") as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    with pytest.raises(FailedPrecondition):
        Database.open(access, TABLES)


async def test_a_second_opening_is_refused_while_the_first_is_open(access: DatabaseAccess, database: Database) -> None:
    with pytest.raises(FailedPrecondition):
        Database.open(access, TABLES)


@pytest.mark.parametrize("bad", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/x"])
async def test_an_unsupported_url_is_refused(bad: str) -> None:
    with pytest.raises(InvalidArgument):
        Database.open(DatabaseAccess(bad), TABLES)


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
