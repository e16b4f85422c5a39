"""A copy of a data folder while its services run, and the way back.

Databases are read first, those that follow storage before storage itself: a pipeline that is restored older than the
change log reads again what it has acted on, and does nothing twice; one that were newer would miss changes. Then come
the objects: each that a copied row names was durable before the row. Keys are written once and never again, so that a
later copy into the same folder takes only what is new. Last the databases get their names, storage before those that
follow it, so that an earlier backup in the folder is whole until the newer one is, wherever it is broken off.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imaging.errors import DataLoss, FailedPrecondition, NotFound, StorageFull
from imaging.supervisor.backup_lineage import check_lineage
from imaging.supervisor.data_lock import DataLock

DATABASES: Final = ("gateway", "pipeline", "reporting", "analysis", "storage")
"""In the order of copying."""

_OBJECTS: Final = Path("storage") / "objects"


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup or a restore has copied."""

    databases: int
    objects: int
    size_bytes: int
    """Of the objects."""


def back_up(data_dir: Path, into: Path) -> Copied:
    """Copy a data folder; its services may run. Into a folder of an earlier backup only new objects are copied.

    Raises
    ------
    NotFound
        There is no SQLite database in the data folder.
    FailedPrecondition
        The copy would lie in the data folder or around it, or over a backup that it does not continue.
    StorageFull
        There is no room for the copy; what is there already is used by the next try.
    """
    found = [name for name in DATABASES if _database(data_dir, name).exists()]
    if "storage" not in found:
        raise NotFound(
            "There is no data of a storage service",
            where=str(data_dir),
            hint="Name its data folder with --data. Tables in PostgreSQL are backed up by pg_dump: docs/operations.md.",
        )
    _check_apart(data_dir.resolve(), into.resolve())
    try:
        if _database(into, "storage").exists():
            check_lineage(_database(data_dir, "storage"), _database(into, "storage"))
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in found:
            _copy_database(_database(data_dir, name), _database(into, name))
        copied = _copy_objects(data_dir, into, len(found))
        for name in reversed(found):
            _settle(_database(into, name))
        return copied
    except OSError as error:
        raise _told(error, into) from error


def restore(backup: Path, data_dir: Path) -> Copied:
    """Lay a data folder from a backup; nothing may be there, and no service may run on it.

    Raises
    ------
    NotFound
        There is no backup.
    FailedPrecondition
        The data folder is not empty, or `imaging up` works on it.
    DataLoss
        A database of the backup is damaged.
    """
    found = [name for name in DATABASES if _database(backup, name).exists()]
    if "storage" not in found:
        raise NotFound("There is no backup of a storage service", where=str(backup), hint="See `imaging backup`.")
    for name in found:
        _check(_database(backup, name))
    lock = DataLock(data_dir)
    lock.acquire()
    try:
        if any((data_dir / name).exists() for name in DATABASES):
            raise FailedPrecondition(
                "There is data already", where=str(data_dir), hint="Move it away, or restore into another folder."
            )
        # The index last: what is broken off has no index, and can be begun anew once it is removed.
        copied = _copy_objects(backup, data_dir, len(found))
        for name in found:
            _copy_file(_database(backup, name), _database(data_dir, name))
        return copied
    except OSError as error:
        raise _told(error, data_dir) from error
    finally:
        lock.release()


def _database(folder: Path, name: str) -> Path:
    return folder / name / f"{name}.sqlite"


def _check_apart(data_dir: Path, into: Path) -> None:
    """Pass if neither lies in the other: the running services would lose the databases that they have open."""
    if data_dir.is_relative_to(into) or into.is_relative_to(data_dir):
        raise FailedPrecondition(
            "A copy in the data folder, or around it, is no backup",
            where=str(into),
            hint="Name another folder, on another disk if there is one.",
        )


def _partial(target: Path) -> Path:
    """What a file is called until it is whole."""
    return target.with_name(f".{target.name}")


def _copy_database(source: Path, target: Path) -> None:
    """One snapshot of a database that others write meanwhile; it still has to be settled."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = _partial(target)
    partial.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as reading,
            closing(sqlite3.connect(partial)) as writing,
        ):
            reading.backup(writing)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise _told(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), target) from error
        raise DataLoss("The database cannot be copied", where=str(source), hint=f"SQLite says: {error}.") from error


def _check(database: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?immutable=1", uri=True)) as reading:
            sound = reading.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
    except sqlite3.Error:
        sound = False
    if not sound:
        raise DataLoss("A database of the backup is damaged", where=str(database), hint="Restore an earlier backup.")


def _copy_objects(source: Path, target: Path, databases: int) -> Copied:
    count = size = 0
    for relative in _objects(source):
        original, copy = source / relative, target / relative
        try:
            wanted = original.stat().st_size
            if copy.exists() and copy.stat().st_size == wanted:
                continue
            _copy_file(original, copy)
        except FileNotFoundError:
            continue  # purged meanwhile: no row that stays names it
        count, size = count + 1, size + wanted
    return Copied(databases, count, size)


def _objects(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder / _OBJECTS):
        folders[:] = [name for name in folders if not name.startswith(".")]  # what is being written
        yield from (Path(place).relative_to(folder) / name for name in files if not name.startswith("."))


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(source, _partial(target))
    _settle(target)


def _settle(target: Path) -> None:
    """Give a whole file its name, durably."""
    partial = _partial(target)
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.rename(target)


def _told(error: OSError, folder: Path) -> StorageFull | FailedPrecondition:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return (StorageFull if is_full else FailedPrecondition)(
        f"Copying failed: {error.strerror}",
        where=str(error.filename or folder),
        hint="Free disk space, then try again." if is_full else "Check the rights of both folders, then try again.",
    )
