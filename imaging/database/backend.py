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
    """True for a server, which other processes use too; a file is ours alone."""

    mend: Callable[[Connection], None] | None
    """Puts right what a commit has left that failed for another reason than want of room, or raises; None where the
    server sees to that, so that a new connection may write."""

    migrating: Callable[[], AbstractContextManager[Connection]]
    """One transaction in which tables may be made anew; other processes that open the database wait until its end."""

    close: Callable[[], None]
    """Closes all connections."""
