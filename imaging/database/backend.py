"""What `Database` needs of a kind of database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class Backend:
    """An open database: where it is, its engines, and how its failures are to be taken."""

    name: str
    """Short, for names of threads."""

    where: str
    """For errors: the file, or server, database and schema."""

    writer: Engine
    """With the one connection that writes."""

    reader: Engine
    """With the connections that read one snapshot a transaction, and cannot write."""

    recovers: bool
    """True if a new connection may write after a commit that failed for another reason than want of room."""

    migrating: Callable[[], AbstractContextManager[Connection]]
    """One transaction in which tables may be made anew; other processes that open the database wait until its end."""

    close: Callable[[], None]
    """Closes all connections."""
