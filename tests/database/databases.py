"""The kinds of database that a test runs on: SQLite files, and schemas of one PostgreSQL server."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from imaging.database import DatabaseAccess
from tests.database.postgresql_server import PostgresServer

KINDS = ("sqlite", "postgresql")
THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}
"""Settings of a server whose data nobody needs after the test."""


@dataclass
class Databases:
    """Databases of one kind; the same folder always has the same ones."""

    server: PostgresServer | None
    """None for SQLite."""

    _prefixes: dict[Path, str] = field(default_factory=dict)

    def settings(self, folder: Path) -> dict[str, Any]:
        """The section `database` of the settings of an installation that keeps its files in `folder`."""
        if self.server is None:
            return {}
        prefix = self._prefixes.setdefault(folder, f"t_{secrets.token_hex(6)}")
        return {"url": self.server.url(), "schema_prefix": prefix, "accept_data_loss": True}

    def overrides(self, folder: Path) -> dict[str, Any]:
        """The same by dotted names."""
        return {f"database.{name}": value for name, value in self.settings(folder).items()}

    def lose(self, folder: Path, service: str) -> None:
        """Take the database of a service away; it must not be open."""
        if self.server is None:
            shutil.rmtree(folder / service)
        else:
            self.server.execute(f"DROP SCHEMA {self._prefixes[folder]}_{service} CASCADE")

    def take_room(self, connection: Connection, table: str) -> None:
        """Let the disk be full from now on; in PostgreSQL for one table, whose inserts fail as they do then."""
        if self.server is None:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # it takes the pages that it has
            return
        raising = "BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END"
        connection.exec_driver_sql(f"CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $${raising}$$")
        connection.exec_driver_sql(f"CREATE TRIGGER no_room BEFORE INSERT ON {table} EXECUTE FUNCTION no_room()")

    def give_room(self, connection: Connection, table: str) -> None:
        """There is room again."""
        if self.server is None:
            connection.exec_driver_sql("PRAGMA max_page_count = 100000")
        else:
            connection.exec_driver_sql(f"DROP TRIGGER no_room ON {table}")

    def access(self, folder: Path) -> DatabaseAccess:
        """A database of its own."""
        if self.server is None:
            return DatabaseAccess(f"sqlite:///{folder / 'sub' / 'test.sqlite'}")
        own = self.settings(folder)
        return DatabaseAccess(own["url"], schema=own["schema_prefix"], accept_data_loss=True)
