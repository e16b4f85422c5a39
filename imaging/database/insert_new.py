"""Inserts that let the first of several writers win, in this process and in others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError


def insert_new(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, all_new: bool = False
) -> set[Any]:
    """Insert the rows whose key is not there; the first key column of those that were inserted.

    Waits for another process that is inserting the same key, until it is known what becomes of that. Give the rows in
    the order of their keys: two processes that insert the same ones in different orders would wait for each other.

    Parameters
    ----------
    all_new
        The caller has looked, and none was there: it costs less then, unless another process has just been faster.
    """
    if not rows:
        return set()
    key: Column[Any] = next(iter(table.primary_key))
    is_shared = connection.dialect.name == "postgresql"
    if all_new and not is_shared:  # nobody else writes
        connection.execute(table.insert(), rows)
        return {row[key.name] for row in rows}
    if all_new:
        try:
            with connection.begin_nested():
                connection.execute(table.insert(), rows)
            return {row[key.name] for row in rows}
        except IntegrityError:
            pass
    insert = postgresql.insert if is_shared else sqlite.insert
    return set(connection.execute(insert(table).on_conflict_do_nothing().returning(key), rows).scalars())
