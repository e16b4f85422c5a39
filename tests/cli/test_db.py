"""`imaging db`: looks change nothing, an upgrade makes the tables, and a service that only checks then starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imaging.cli.commands import app
from imaging.cli.exit_codes import ExitCode
from imaging.database import Database
from imaging.errors import FailedPrecondition, SettingsInvalid
from imaging.settings import load_settings
from imaging.settings.database import SERVICES_WITH_DATABASE, database_access
from storage_svc.schema import TABLES
from tests.database.databases import Databases


@pytest.fixture
def flags(tmp_path: Path, databases: Databases) -> list[str]:
    """Those of one installation."""
    given = databases.overrides(tmp_path)
    return ["--data", str(tmp_path / "data"), *(f"--set={name}={value}" for name, value in given.items())]


def run(command: str, *flags: str) -> tuple[int, list[dict[str, Any]]]:
    result = CliRunner().invoke(app, ["db", command, "--json", *flags], catch_exceptions=False)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def test_tables_are_looked_at_upgraded_and_current(flags: list[str], tmp_path: Path) -> None:
    for _ in range(2):  # the first look has made nothing
        code, found = run("check", *flags)
        assert code == ExitCode.REFUSED
        assert [each["service"] for each in found] == list(SERVICES_WITH_DATABASE)
        assert {(each["found"], each["state"]) for each in found} == {("", "to be upgraded")}
    assert not (tmp_path / "data").exists()
    assert run("current", *flags)[0] == ExitCode.OK
    code, found = run("upgrade", *flags, "--service", "storage")
    assert code == ExitCode.OK
    assert [(each["service"], each["state"]) for each in found] == [("storage", "upgraded")]
    assert run("check", *flags)[0] == ExitCode.REFUSED
    assert run("check", *flags, "--service", "storage")[0] == ExitCode.OK
    assert run("upgrade", *flags)[0] == ExitCode.OK
    code, found = run("check", *flags)
    assert code == ExitCode.OK
    assert {each["state"] for each in found} == {"current"}
    assert all(each["found"] == each["needed"] for each in found)


async def test_a_service_that_only_checks_starts_after_the_upgrade(
    tmp_path: Path, databases: Databases, flags: list[str]
) -> None:
    given = {"data_dir": tmp_path / "data", "database.migrate_at_start": False, **databases.overrides(tmp_path)}
    access = database_access(load_settings(env={}, overrides=given), "storage")
    with pytest.raises(FailedPrecondition, match="imaging db upgrade"):
        Database.open(access, TABLES)
    run("upgrade", *flags)
    await Database.open(access, TABLES).close()


def test_a_service_without_tables_is_named(flags: list[str]) -> None:
    with pytest.raises(SettingsInvalid, match="processing"):
        run("current", *flags, "--service", "processing")
