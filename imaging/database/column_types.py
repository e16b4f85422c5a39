"""Column types that mean the same in SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.types import TypeEngine


def text(length: int | None = None) -> TypeEngine[str]:
    """Text that is sorted and compared by its code points, as SQLite does.

    So order and page tokens do not depend on the server's language, an update of its C library breaks no index, and
    `LIKE 'abc%'` uses one. `length` is only told: what comes in is checked where it comes in.
    """
    return String(length).with_variant(Text(collation="C"), "postgresql")


def counted() -> TypeEngine[int]:
    """A primary key that counts up by itself; SQLite does so for INTEGER alone."""
    return BigInteger().with_variant(Integer, "sqlite")
