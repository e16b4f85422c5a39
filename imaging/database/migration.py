"""Migrations: a database is made, brought up to this release, or refused before anything in it is touched."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Integer, MetaData, Table, inspect, select, update

from imaging.database.tables import Tables
from imaging.errors import FailedPrecondition

_VERSIONS: Final = "alembic_version"
_log = logging.getLogger(__name__)

# Releases before migrations kept one number here, which was 1.
_NUMBERED: Final = Table("schema_version", MetaData(), Column("version", Integer, nullable=False))
_FIRST_REVISION: Final = "0001"
_NO_NUMBER_OF_THEIRS: Final = 2
"""Makes them refuse the database with the advice to start a newer release."""


@dataclass(frozen=True, slots=True)
class Version:
    """How far the tables of a database have come."""

    found: str
    """Revision of the database; empty if it has no tables yet."""

    needed: str
    """Revision of this release."""

    @property
    def is_current(self) -> bool:
        """True if this release can use the tables as they are."""
        return self.found == self.needed


def version_of(connection: Connection | None, tables: Tables, *, where: str) -> Version:
    """How far the tables have come; nothing is changed. Without a connection: those of a database to be made.

    Raises
    ------
    FailedPrecondition
        If a newer release has written the database, or its tables are not ours.
    """
    scripts = _scripts(tables)
    needed = str(scripts.get_current_head())
    if connection is None:
        return Version("", needed)
    there = set(inspect(connection).get_table_names())
    found = ""
    if _VERSIONS in there:
        found = ", ".join(_context(connection).get_current_heads())
    elif _NUMBERED.name in there:
        number = connection.execute(select(_NUMBERED.c.version)).scalar()
        found = _FIRST_REVISION if number == 1 else f"schema version {number}"
    elif there:
        raise FailedPrecondition(
            "The database holds tables of another program",
            where=where,
            hint="Choose another data directory, database or schema prefix.",
        )
    if found and found not in {script.revision for script in scripts.walk_revisions()}:
        raise FailedPrecondition(
            f"A newer release has written the database: it has revision {found}, this release knows {needed}",
            where=where,
            hint="Start the release that wrote it, or a newer one; or restore the backup from before its upgrade.",
            metadata={"found": found, "needed": needed},
        )
    return Version(found, needed)


def require_current(connection: Connection, tables: Tables, *, where: str) -> None:
    """Pass if the tables are those of this release.

    Raises
    ------
    FailedPrecondition
        If they are not: older, newer, or none at all.
    """
    version = version_of(connection, tables, where=where)
    if not version.is_current:
        raise FailedPrecondition(
            f"The database is at revision {version.found or 'none'}, this release needs {version.needed}",
            where=where,
            hint="Run `imaging db upgrade`, or let the service do it: database.migrate_at_start = true.",
            metadata={"found": version.found, "needed": version.needed},
        )


def migrate(connection: Connection, tables: Tables, *, where: str) -> Version:
    """Bring the tables up to this release within the transaction of the connection; what was found and is there now.

    Raises
    ------
    FailedPrecondition
        If a newer release has written the database, or its tables are not ours.
    """
    version = version_of(connection, tables, where=where)
    if version.is_current:
        return version
    scripts = _scripts(tables)
    context = _context(connection, scripts)
    if version.found and not context.get_current_heads():
        context.stamp(scripts, version.found)
        connection.execute(update(_NUMBERED).values(version=_NO_NUMBER_OF_THEIRS))
    with Operations.context(context):
        context.run_migrations()
    _log.info(
        "the database was brought up to this release",
        extra={"database": where, "found": version.found, "revision": version.needed},
    )
    return version


def _scripts(tables: Tables) -> ScriptDirectory:
    return ScriptDirectory(tables.migrations, version_locations=[tables.migrations])


def _context(connection: Connection, scripts: ScriptDirectory | None = None) -> MigrationContext:
    options = {"fn": lambda found, _: scripts._upgrade_revs("head", found)} if scripts is not None else {}
    return MigrationContext.configure(connection, opts={"version_table": _VERSIONS, **options})
