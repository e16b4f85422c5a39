"""What nobody needs any more goes: purged studies, orphan objects, expired uploads, old changes and rejections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection, delete, func, select

from imaging.database import Database
from imaging.objectstore import ObjectStat, ObjectStore
from storage_svc import clock
from storage_svc.change_log import ChangeLog
from storage_svc.purge import due_for_purge, purge
from storage_svc.schema import KEPT_OBJECT, REJECTION
from storage_svc.upload_spool import UploadSpool

ORPHAN_GRACE = timedelta(hours=1)
"""An object without a row may be about to get one; nothing takes as long as this between the two."""

CHANGES_KEPT = timedelta(days=90)
"""Watchers that were away for longer have to look at what is stored."""

REJECTIONS_KEPT = 100_000
_BATCH = 500
_log = logging.getLogger(__name__)


class Sweeper:
    """Runs all of it once in an interval."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        changes: ChangeLog,
        spool: UploadSpool,
        *,
        interval: timedelta,
        upload_expiry: timedelta,
    ) -> None:
        self._database = database
        self._store = store
        self._changes = changes
        self._spool = spool
        self._interval = interval
        self._upload_expiry = upload_expiry

    async def run(self) -> None:
        """Sweep until cancelled; the first time after one interval."""
        while True:
            await asyncio.sleep(self._interval.total_seconds())
            try:
                await self.sweep()
            except Exception:  # noqa: BLE001 - the next sweep may succeed
                _log.exception("a sweep failed")

    async def sweep(self) -> None:
        """Everything once."""
        purged = await self.purge_deleted()
        orphans = await self.remove_orphans(ORPHAN_GRACE)
        uploads = await self._spool.sweep(self._upload_expiry)
        await asyncio.to_thread(self._spool.remove_left_over, ORPHAN_GRACE)
        changes = await self._changes.forget_before(clock.now() - clock.microseconds(CHANGES_KEPT))
        await self._database.write(_trim_rejections)
        if purged or orphans or uploads or changes:
            _log.info("swept %d purged objects, %d orphans, %d uploads, %d changes", purged, orphans, uploads, changes)

    async def purge_deleted(self) -> int:
        """Purge what was deleted and whose grace time is over; the number of objects removed."""
        removed = 0
        while studies := await self._database.read(lambda connection: due_for_purge(connection, 100)):
            for uid in studies:
                keys = await self._changes.write(partial(purge, study_instance_uid=uid))
                # Rows first: should we die here, the objects are orphans, and swept as such.
                await asyncio.to_thread(self._delete, keys)
                removed += len(keys)
        return removed

    async def remove_orphans(self, grace: timedelta) -> int:
        """Remove objects older than `grace` that no row knows; their number."""
        before = datetime.now(UTC) - grace
        listed = self._store.list("studies")
        removed = 0
        while batch := await asyncio.to_thread(_next_keys, listed, before):

            def known(connection: Connection, batch: list[str] = batch) -> set[str]:
                query = select(KEPT_OBJECT.c.object_key).where(KEPT_OBJECT.c.object_key.in_(batch))
                return set(connection.execute(query).scalars())

            kept = await self._database.read(known)
            orphans = [key for key in batch if key not in kept]
            await asyncio.to_thread(self._delete, orphans)
            removed += len(orphans)
        return removed

    def _delete(self, keys: list[str]) -> None:
        for key in keys:
            self._store.delete(key)


def _next_keys(listed: Iterator[ObjectStat], before: datetime) -> list[str]:
    keys: list[str] = []
    for found in listed:
        if found.modify_time < before:
            keys.append(found.key)
            if len(keys) == _BATCH:
                break
    return keys


def _trim_rejections(connection: Connection) -> None:
    newest = connection.execute(select(func.max(REJECTION.c.id))).scalar()
    if newest is not None:
        connection.execute(delete(REJECTION).where(REJECTION.c.id <= newest - REJECTIONS_KEPT))
