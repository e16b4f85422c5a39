"""Inserts that let the last of several writers win, in this process and in others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_or_update(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert the row, or give its values to the one that has its primary key.

    One statement, so that another process that writes the same key at the same time does no harm. For tables without
    other unique columns: a conflict in those would be an IntegrityError in PostgreSQL.
    """
    insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table).values(**row)
    key = [column.name for column in table.primary_key]
    values = {name: insert.excluded[name] for name in row if name not in key}
    connection.execute(insert.on_conflict_do_update(index_elements=key, set_=values))
