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

    is_shared: bool
    """True for a server, which other processes use too, and which a new connection finds sound after a failed commit.

    A file is ours alone; after a failed fsync only a restart may write to it again.
    """

    migrating: Callable[[], AbstractContextManager[Connection]]
    """One transaction in which tables may be made anew; other processes that open the database wait until its end."""

    close: Callable[[], None]
    """Closes all connections."""
