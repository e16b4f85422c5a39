"""What PostgreSQL alone has: servers that are away, full, weak or read-only, and sessions that commit durably."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, insert, text

from imaging.database import Database, DatabaseAccess
from imaging.database.postgresql import connect
from imaging.errors import (
    FailedPrecondition,
    ImagingError,
    InvalidArgument,
    Overloaded,
    SettingsInvalid,
    Unavailable,
)
from tests.database.databases import Databases
from tests.database.postgresql_server import USER, PostgresServer, postgres_programs, postgres_server
from tests.database.test_database import ITEM, TABLES, names, put


@pytest.fixture
def access(tmp_path: Path, throw_away_postgres: PostgresServer) -> DatabaseAccess:
    return Databases(throw_away_postgres).access(tmp_path)


@pytest.fixture
async def database(access: DatabaseAccess) -> AsyncIterator[Database]:
    opened = Database.open(access, TABLES)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module alone, which may be stopped; its commits are durable."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed (`make setup` brings one as a wheel)")
    with postgres_server(programs, max_connections="20") as running:
        yield running


def refusal(access: DatabaseAccess) -> ImagingError:
    with pytest.raises(ImagingError) as raised:
        Database.open(access, TABLES)
    return raised.value


async def test_sessions_commit_durably_in_the_schema_of_the_service_whatever_the_server_prefers(
    database: Database, access: DatabaseAccess
) -> None:
    def shown(connection: Connection) -> list[str]:
        names = ("synchronous_commit", "search_path", "application_name", "statement_timeout", "lock_timeout")
        return [str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in names]

    assert await database.write(shown) == ["on", f'"{access.schema}"', "imaging", "1min", "10s"]


async def test_a_stronger_promise_of_the_role_stays(
    throw_away_postgres: PostgresServer, access: DatabaseAccess
) -> None:
    throw_away_postgres.execute("CREATE ROLE careful SUPERUSER LOGIN")
    throw_away_postgres.execute("ALTER ROLE careful SET synchronous_commit = remote_apply")
    with connect(replace(access, url=access.url.replace(USER, "careful"))) as session:
        assert session.execute("SHOW synchronous_commit").fetchone() == ("remote_apply",)


async def test_a_server_that_could_lose_data_is_refused_unless_the_settings_say_so(access: DatabaseAccess) -> None:
    refused = refusal(replace(access, accept_data_loss=False))
    assert isinstance(refused, FailedPrecondition)
    assert "fsync = off" in refused.what


async def test_a_server_that_is_away_is_unavailable_and_comes_back(server: PostgresServer) -> None:
    access = DatabaseAccess(server.url(), schema="away")
    database = Database.open(access, TABLES)
    await database.write(put("before"))
    assert await names(database) == ["before"]
    for mode in ("fast", "immediate"):
        server.stop(mode)
        for attempt in (database.write(put("never")), names(database)):
            with pytest.raises(Unavailable) as raised:
                await attempt
            assert raised.value.retry_after_seconds > 0
        assert isinstance(refusal(access), Unavailable)
        server.start()
        await database.write(put(mode))
        server.restart(mode)  # unseen between two writes
        await database.write(put(f"{mode} again"))
        assert mode in await names(database)
    await database.close()


async def test_a_write_whose_connection_dies_before_its_commit_is_repeated_and_done_once(
    server: PostgresServer,
) -> None:
    database = Database.open(DatabaseAccess(server.url(), schema="dies"), TABLES)
    calls = 0

    def write(connection: Connection) -> None:
        nonlocal calls
        calls += 1
        put(f"call {calls}")(connection)
        if calls == 1:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            server.execute(f"SELECT pg_terminate_backend({pid}, 10000)")
        put(f"more of call {calls}")(connection)

    await database.write(write)
    assert await names(database) == ["call 2", "more of call 2"]
    await database.close()


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ({"url": "/nowhere"}, SettingsInvalid, "no such database"),
        ({"user": "stranger"}, SettingsInvalid, "does not let us in"),
        ({"url": "/postgres?sslmode=require"}, SettingsInvalid, "No encrypted connection"),
    ],
)
async def test_what_the_server_does_not_know_is_a_wrong_setting(
    server: PostgresServer, change: dict[str, str], kind: type[ImagingError], told: str
) -> None:
    url = server.url().replace("/postgres", change.get("url", "/postgres"))
    refused = refusal(DatabaseAccess(url.replace(USER, change.get("user", USER)), schema="x"))
    assert type(refused) is kind
    assert told in refused.what
    assert refused.hint


async def test_a_wrong_password_is_told_without_it(server: PostgresServer) -> None:
    server.execute("CREATE ROLE guarded LOGIN PASSWORD 'right-one'")
    server.execute("CREATE SCHEMA guarded AUTHORIZATION guarded")
    rules = server.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + before)
    server.execute("SELECT pg_reload_conf()")
    password = ["wrong-one"]
    access = DatabaseAccess(
        server.url().replace(USER, "guarded"), schema="guarded", password=lambda: password[0], program="imaging test"
    )
    refused = refusal(access)
    assert isinstance(refused, SettingsInvalid)
    assert "password authentication failed" in refused.what
    assert "wrong-one" not in refused.text + repr(access)
    password[0] = "right-one"
    database = Database.open(access, TABLES)
    await database.write(put("a"))
    assert await names(database) == ["a"]
    await database.close()
    rules.write_text(before)
    server.execute("SELECT pg_reload_conf()")


async def test_a_role_that_may_not_make_its_schema_is_told_how_to_get_one(server: PostgresServer) -> None:
    server.execute("CREATE ROLE modest LOGIN")
    refused = refusal(DatabaseAccess(server.url().replace(USER, "modest"), schema="theirs"))
    assert isinstance(refused, FailedPrecondition)
    assert "CREATE SCHEMA theirs" in refused.hint


async def test_a_server_without_a_free_connection_is_overloaded_for_a_while(server: PostgresServer) -> None:
    with ExitStack() as held:
        with pytest.raises(psycopg.OperationalError):
            for _ in range(30):
                held.enter_context(psycopg.connect(server.url()))
        refused = refusal(DatabaseAccess(server.url(), schema="crowd"))
    assert isinstance(refused, Overloaded)
    assert refused.retry_after_seconds > 0


async def test_a_database_that_was_made_read_only_is_unavailable(server: PostgresServer) -> None:
    server.execute("CREATE DATABASE frozen")
    access = DatabaseAccess(server.url("frozen"), schema="imaging")
    database = Database.open(access, TABLES)
    server.execute("ALTER DATABASE frozen SET default_transaction_read_only = on")
    assert "read-only" in refusal(access).what
    with pytest.raises(Unavailable, match="read-only"):
        await database.write(
            lambda connection: connection.execute(text("SET TRANSACTION READ ONLY")) and put("a")(connection)
        )
    await database.close()


async def test_errors_hold_no_values(database: Database) -> None:
    await database.write(lambda connection: connection.exec_driver_sql("ALTER TABLE item ADD number smallint"))
    for statement in (
        insert(ITEM).values(name="Secret\0"),
        text("INSERT INTO item (name, number) VALUES ('Secret', 100000)"),
        text("SELECT 'Secret'::integer"),
    ):
        with pytest.raises(InvalidArgument) as raised:
            await database.write(lambda connection, statement=statement: connection.execute(statement))  # type: ignore[misc]
        assert "Secret" not in raised.value.text
        assert raised.value.__cause__ is None or "Secret" not in str(raised.value.__cause__)
