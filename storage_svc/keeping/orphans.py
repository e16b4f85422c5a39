"""Orphans: objects that no row names, left by a crash between object and row. They go when they are old enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, select

from imaging.database import Database, clock
from imaging.objectstore import ObjectStat, ObjectStore
from storage_svc.schema import KEPT_OBJECT

ORPHAN_GRACE = timedelta(hours=1)
"""An object without a row may be about to get one; nothing takes as long as this between the two."""

PREFIX = "studies"
"""Of all keys that instances have."""

_BATCH = 500


@dataclass(slots=True)
class Amount:
    """Objects, and their bytes."""

    objects: int = 0
    size_bytes: int = 0

    def add(self, found: ObjectStat) -> None:
        """One more."""
        self.objects += 1
        self.size_bytes += found.size_bytes


@dataclass(slots=True)
class Swept:
    """What a sweep has found so far."""

    grace: timedelta
    start_time: datetime
    listed: Amount = field(default_factory=Amount)
    """All objects of the store."""

    young: Amount = field(default_factory=Amount)
    """No row names them, but one may yet."""

    orphans: Amount = field(default_factory=Amount)
    """No row names them, and they are older than the grace time."""

    removed: Amount = field(default_factory=Amount)
    oldest: datetime | None = None
    """Of the orphans, the time of the last change of the oldest."""


async def sweep_orphans(
    database: Database, store: ObjectStore, *, grace: timedelta = ORPHAN_GRACE, dry_run: bool = False
) -> AsyncGenerator[tuple[Swept, Sequence[ObjectStat]]]:
    """Look through the whole store, and remove what is older than `grace` and named by no row, whoever wrote it.

    Memory is bounded: the store is listed in steps, each of which gives what was found so far and its own orphans.

    Parameters
    ----------
    dry_run
        Remove nothing.

    Raises
    ------
    Unavailable
        If store or database do not answer; what was removed before stays so.
    """
    swept = Swept(grace, clock.utc_now())
    before = swept.start_time - grace
    listed = store.list(PREFIX)
    while batch := await asyncio.to_thread(_next, listed):
        # Asked after the objects were seen: whatever got its row until now is found.
        named = await database.read(partial(_named, batch=batch))
        orphans = []
        for found in batch:
            swept.listed.add(found)
            if found.key in named:
                continue
            if found.modify_time >= before:
                swept.young.add(found)
                continue
            orphans.append(found)
            swept.orphans.add(found)
            swept.oldest = min(swept.oldest or found.modify_time, found.modify_time)
        if not dry_run:
            for found in orphans:
                await asyncio.to_thread(store.delete, found.key)
                swept.removed.add(found)
        yield swept, orphans


def _next(listed: Iterator[ObjectStat]) -> list[ObjectStat]:
    batch: list[ObjectStat] = []
    for found in listed:
        batch.append(found)
        if len(batch) == _BATCH:
            break
    return batch


def _named(connection: Connection, batch: Sequence[ObjectStat]) -> set[str]:
    query = select(KEPT_OBJECT.c.object_key).where(KEPT_OBJECT.c.object_key.in_([found.key for found in batch]))
    return set(connection.execute(query).scalars())
