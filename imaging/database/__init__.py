"""The database seam: SQLAlchemy Core behind one writer with group commit and a pool of readers."""

from imaging.database.access import DatabaseAccess
from imaging.database.database import Database
from imaging.database.group_commit import defer
from imaging.database.tables import Tables

__all__ = ["Database", "DatabaseAccess", "Tables", "defer"]
