"""Where the database of a service is, who we are to it, and what is asked of its server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DatabaseAccess:
    """The database of one service."""

    url: str
    """`sqlite:////absolute/path/to/file.sqlite`, or `postgresql://user@host:5432/database` without a password."""

    schema: str = ""
    """The schema in PostgreSQL that is this service's own."""

    password: Callable[[], str] = field(default=str, repr=False)
    """Asked for each new connection, so that a changed password needs no restart; empty: libpq's own ways."""

    ca_file: Path | None = None
    """PEM certificates by which a PostgreSQL server must prove itself."""

    program: str = "imaging"
    """How the service is called in the server's list of sessions."""

    accept_data_loss: bool = False
    """Use a PostgreSQL server that would lose or break data in a power cut. Only for what may be thrown away."""

    migrate_at_start: bool = True
    """Bring the tables up to this release when the database is opened; otherwise refuse those of an older one."""

    @property
    def is_postgresql(self) -> bool:
        """False for SQLite."""
        return self.url.startswith(("postgresql:", "postgres:"))

    @property
    def shown(self) -> str:
        """The database and its schema, for people."""
        return f"{self.url} {self.schema}".rstrip()
