"""Migrations make the tables that the code uses, adopt old databases, refuse newer ones, and bear to be killed."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from imaging.database import Database, DatabaseAccess, Tables
from imaging.database.migration import migrate, require_current
from imaging.database.new_revision import differences, new_revision
from imaging.database.opening import open_backend
from imaging.errors import FailedPrecondition
from imaging.settings.database import SERVICES_WITH_DATABASE
from tests.database.databases import Databases
from tests.database.postgresql_server import PostgresServer
from tests.database.test_database import ITEM, METADATA, TABLES, names, put

SECOND = '''"""A second table."""

import time
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table("second", sa.Column("name", sa.String(), primary_key=True))
    op.execute("INSERT INTO item (name) VALUES ('by the migration')")
    {more}
'''


def tables_of(service: str) -> Tables:
    tables = importlib.import_module(f"{service}_svc.schema").TABLES
    assert isinstance(tables, Tables)
    return tables


def next_release(folder: Path, more: str = "") -> Tables:
    """The tables of the tests with one migration more."""
    migrations = folder / "migrations"
    shutil.copytree(TABLES.migrations, migrations, dirs_exist_ok=True)
    (migrations / "0002_second.py").write_text(SECOND.format(more=more))
    return Tables(METADATA, migrations)


def _content(access: DatabaseAccess) -> bytes:
    return b"" if access.is_postgresql else Path(access.url.removeprefix("sqlite:///")).read_bytes()


@pytest.fixture
def access(tmp_path: Path, databases: Databases) -> DatabaseAccess:
    return databases.access(tmp_path)


@pytest.mark.parametrize("service", SERVICES_WITH_DATABASE)
def test_migrations_make_the_tables_that_the_code_uses(service: str, access: DatabaseAccess) -> None:
    tables, backend = tables_of(service), open_backend(access)
    with backend.migrating() as connection:
        migrate(connection, tables, where="test")
        left = differences(connection, tables).upgrade_ops
        assert left is not None
        assert left.as_diffs() == []
    backend.close()


@pytest.mark.parametrize("service", SERVICES_WITH_DATABASE)
def test_migrations_come_one_after_the_other(service: str) -> None:
    folder = tables_of(service).migrations
    revisions = [script.revision for script in ScriptDirectory(folder, version_locations=[folder]).walk_revisions()]
    files = sorted(path.name for path in folder.glob("*.py"))
    assert [name[:4] for name in files] == [f"{number:04}" for number in range(1, len(files) + 1)]
    assert revisions[::-1] == [name[:4] for name in files]


def test_text_is_compared_by_its_code_points_whatever_the_language_of_the_server(
    throw_away_postgres: PostgresServer, tmp_path: Path
) -> None:
    query = text(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        " AND data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C'"
        " AND table_name <> 'alembic_version'"
    )
    for service in SERVICES_WITH_DATABASE:
        backend = open_backend(Databases(throw_away_postgres).access(tmp_path))
        with backend.migrating() as connection:
            migrate(connection, tables_of(service), where="test")
            assert connection.execute(query).all() == []
        backend.close()


async def test_a_database_is_brought_up_and_keeps_what_it_has(access: DatabaseAccess, tmp_path: Path) -> None:
    first = Database.open(access, TABLES)
    await first.write(put("before"))
    await first.close()
    second = Database.open(access, next_release(tmp_path))
    assert await names(second) == ["before", "by the migration"]
    await second.close()


async def test_a_database_of_a_newer_release_is_refused_before_anything_is_touched(
    access: DatabaseAccess, tmp_path: Path
) -> None:
    await Database.open(access, next_release(tmp_path)).close()
    before = _content(access)
    with pytest.raises(FailedPrecondition) as raised:
        Database.open(access, TABLES)
    assert raised.value.metadata == {"found": "0002", "needed": "0001"}
    assert "newer" in raised.value.hint
    assert _content(access) == before
    await Database.open(access, next_release(tmp_path)).close()


async def test_a_service_that_may_only_check_leaves_an_older_database_alone(
    access: DatabaseAccess, tmp_path: Path
) -> None:
    only_checks = replace(access, migrate_at_start=False)
    with pytest.raises(FailedPrecondition, match=r"revision none, .*imaging db upgrade"):
        Database.open(only_checks, TABLES)
    await Database.open(access, TABLES).close()
    await Database.open(only_checks, TABLES).close()
    with pytest.raises(FailedPrecondition) as raised:
        Database.open(only_checks, next_release(tmp_path))
    assert raised.value.metadata == {"found": "0001", "needed": "0002"}


async def test_tables_of_another_program_are_left_alone(access: DatabaseAccess) -> None:
    backend = open_backend(access)
    with backend.migrating() as connection:
        connection.execute(text("CREATE TABLE theirs (x integer)"))
    backend.close()
    with pytest.raises(FailedPrecondition, match="another program"):
        Database.open(access, TABLES)
    backend = open_backend(access)
    with backend.migrating() as connection:
        assert inspect(connection).get_table_names() == ["theirs"]
    backend.close()


@pytest.mark.parametrize("service", SERVICES_WITH_DATABASE)
def test_a_file_of_the_release_before_migrations_is_adopted(service: str, tmp_path: Path) -> None:
    """That release made the tables of revision 0001 and wrote 1 into `schema_version`."""
    tables = tables_of(service)
    first = Tables(tables.metadata, tmp_path / "first")
    first.migrations.mkdir()
    shutil.copy(next(tables.migrations.glob("0001*.py")), first.migrations)
    backend = open_backend(DatabaseAccess(f"sqlite:///{tmp_path}/old.sqlite"))
    with backend.migrating() as connection:
        migrate(connection, first, where="test")
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("CREATE TABLE schema_version (version INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO schema_version VALUES (1)"))
    number = text("SELECT version FROM schema_version")
    with backend.migrating() as connection:
        require_current(connection, first, where="test")
        migrate(connection, first, where="test")
        assert connection.execute(number).scalar() == 1, "while the tables are the same, the old release may come back"
        migrate(connection, tables, where="test")
        left = differences(connection, tables).upgrade_ops
        assert left is not None
        assert left.as_diffs() == []
    (first.migrations / "0002_more.py").write_text(
        'revision = "0002"\ndown_revision = "0001"\n\n\ndef upgrade():\n    pass\n'
    )
    with backend.migrating() as connection:
        migrate(connection, tables if len(list(tables.migrations.glob("*.py"))) > 1 else first, where="test")
        assert connection.execute(number).scalar() == 2, "the old release refuses any other number than 1"
    backend.close()


def test_of_two_processes_that_start_at_once_one_migrates_and_the_other_waits(
    throw_away_postgres: PostgresServer, tmp_path: Path
) -> None:
    access = Databases(throw_away_postgres).access(tmp_path)
    slow = next_release(tmp_path, 'op.execute("SELECT pg_sleep(0.5)")')
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Database.open(access, slow), range(4)))
    for database in opened:
        database.close_now()
    backend = open_backend(access)
    with backend.migrating() as connection:
        assert connection.execute(select(ITEM.c.name)).scalars().all() == ["by the migration"]
    backend.close()


async def test_a_migration_that_is_killed_half_way_leaves_the_database_as_it_was(
    access: DatabaseAccess, tmp_path: Path
) -> None:
    first = Database.open(access, TABLES)
    await first.write(put("before"))
    await first.close()
    reached = tmp_path / "half-way"
    next_release(tmp_path, f"Path({str(reached)!r}).touch(); time.sleep(60)")
    program = (
        "import sys; from pathlib import Path; from sqlalchemy import MetaData;"
        "from imaging.database import Database, DatabaseAccess, Tables;"
        "url, schema, folder = sys.argv[1:];"
        "access = DatabaseAccess(url, schema=schema, accept_data_loss=True);"
        "Database.open(access, Tables(MetaData(), Path(folder)))"
    )
    arguments = [access.url, access.schema, str(tmp_path / "migrations")]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, *arguments)
    async with asyncio.timeout(60):
        while not os.path.exists(reached):  # noqa: ASYNC240, PTH110 - a look that takes no time
            assert process.returncode is None
            await asyncio.sleep(0.01)
    process.kill()
    await process.wait()
    again = Database.open(access, TABLES)  # the release from before still can
    assert await names(again) == ["before"]
    await again.close()
    after = Database.open(access, next_release(tmp_path))
    assert await names(after) == ["before", "by the migration"]
    await after.close()


def test_a_table_may_be_rebuilt_though_others_refer_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_both.py").write_text(
        "from alembic import op\nrevision = '0001'\ndown_revision = None\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE parent (id INTEGER PRIMARY KEY, x TEXT)')\n"
        "    op.execute('CREATE TABLE child (id INTEGER REFERENCES parent (id) ON DELETE CASCADE)')\n"
        "    op.execute('INSERT INTO parent (id) VALUES (1)')\n"
        "    op.execute('INSERT INTO child VALUES (1)')\n"
    )
    (folder / "0002_without_x.py").write_text(
        "from alembic import op\nrevision = '0002'\ndown_revision = '0001'\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('parent') as table:\n"
        "        table.drop_column('x')\n"
    )
    backend = open_backend(DatabaseAccess(f"sqlite:///{tmp_path}/test.sqlite"))
    with backend.migrating() as connection:
        migrate(connection, Tables(METADATA, folder), where="test")
        assert connection.execute(text("SELECT id FROM child")).scalars().all() == [1]
    backend.close()


def test_a_draft_of_a_migration_makes_what_the_last_one_lacks(tmp_path: Path) -> None:
    shutil.copytree(tables_of("storage").migrations, tmp_path / "storage")
    metadata = tables_of("storage").metadata
    for file in sorted((tmp_path / "storage").glob("*.py"))[1:]:
        file.unlink()
    (tmp_path / "storage" / next((tmp_path / "storage").glob("0001*.py")).name).write_text(
        'revision = "0001"\ndown_revision = None\n\n\ndef upgrade():\n    pass\n'
    )
    draft = new_revision(Tables(metadata, tmp_path / "storage"), "everything else")
    assert draft.name == "0002_everything_else.py"
    backend = open_backend(DatabaseAccess(f"sqlite:///{tmp_path}/test.sqlite"))
    with backend.migrating() as connection:
        migrate(connection, Tables(metadata, tmp_path / "storage"), where="test")
        left = differences(connection, tables_of("storage")).upgrade_ops
        assert left is not None
        assert left.as_diffs() == []
    backend.close()


def test_migrations_are_part_of_the_wheel(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], check=True, capture_output=True, text=True
    ).stdout
    for service in SERVICES_WITH_DATABASE:
        for file in tables_of(service).migrations.glob("*.py"):
            assert f"{service}_svc/migrations/{file.name}" in listed
