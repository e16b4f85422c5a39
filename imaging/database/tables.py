"""The tables of a service: as this release uses them, and the migrations that make them so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import MetaData


@dataclass(frozen=True, slots=True)
class Tables:
    """What a service keeps in its database."""

    metadata: MetaData

    migrations: Path
    """Folder of alembic revisions, one after the other: `0001_<what>.py`, `0002_<what>.py`, ..."""

    made_by_migrations: tuple[str, ...] = ()
    """Beginnings of the names of tables and indexes that stand in no metadata, such as full-text indexes of SQLite."""
