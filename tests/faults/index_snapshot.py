"""What the storage service has made visible, seen from outside: rows of its index and files of its object store."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TABLES = ("study", "series", "instance", "kept_object", "quarantine", "change", "upload")


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row of the audit."""

    source: str
    reason: str
    place: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Visible:
    """Rows by table, and the files of objects and uploads."""

    rows: dict[str, int]
    files: frozenset[str]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """As `python -m` this module prints it: for disks that this process does not see."""
        found = json.loads(text)
        return cls(found["rows"], frozenset(found["files"]))


def visible(data_dir: Path) -> Visible:
    """What there is now."""
    with _index(data_dir) as index:
        rows = {table: index.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in _TABLES}
    objects = data_dir / "storage" / "objects"
    return Visible(rows, frozenset(str(path.relative_to(objects)) for path in objects.rglob("*") if path.is_file()))


def persisted_bytes(data_dir: Path) -> int:
    """How much is promised to be kept of uploads that are not finished."""
    with _index(data_dir) as index:
        return int(index.execute("SELECT coalesce(sum(persisted_bytes), 0) FROM upload").fetchone()[0])


def rejections(data_dir: Path) -> list[Rejection]:
    """The audit, oldest first."""
    with _index(data_dir) as index:
        found = index.execute("SELECT source, reason, place, size_bytes FROM rejection ORDER BY id").fetchall()
    return [Rejection(*row) for row in found]


@contextmanager
def _index(data_dir: Path) -> Iterator[sqlite3.Connection]:
    file = data_dir / "storage" / "storage.sqlite"
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        yield connection


if __name__ == "__main__":
    seen = visible(Path(sys.argv[1]))
    sys.stdout.write(json.dumps({"rows": seen.rows, "files": sorted(seen.files)}))
