"""`imaging doctor` on databases: what it says of one that is right, unsafe, missing, or not reached."""

from __future__ import annotations

from pathlib import Path

from imaging.cli.database_checks import database_checks
from imaging.settings import load_settings
from imaging.settings.database import database_access
from tests.database.databases import Databases
from tests.database.postgresql_server import PostgresServer
from tests.database.test_database import TABLES, Database


def test_a_sqlite_file_needs_no_check() -> None:
    assert list(database_checks(load_settings(env={}))) == []


async def test_databases_are_found_missing_unsafe_or_not_reached_and_never_changed(
    throw_away_postgres: PostgresServer, tmp_path: Path
) -> None:
    given = Databases(throw_away_postgres).overrides(tmp_path)
    settings = load_settings(env={}, overrides=given)
    await Database.open(database_access(settings, "storage"), TABLES).close()
    for _ in range(2):
        storage, *others = database_checks(settings)
        assert (storage.state, storage.name) == ("ok", "database of storage")
        assert "PostgreSQL" in storage.found
        assert [check.state for check in others] == ["warning"] * 4
    unsafe = load_settings(env={}, overrides=given | {"database.accept_data_loss": False})
    away = load_settings(env={}, overrides=given | {"database.url": "postgresql://127.0.0.1:1/x"})
    for wrong in (unsafe, away):
        checks = list(database_checks(wrong))
        assert [check.state for check in checks] == ["failed"] * 5
        assert all(check.hint for check in checks)
