"""What nobody needs any more goes: purged studies, expired uploads, old changes and rejections, and orphans."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection, delete, func, select

from imaging.database import Database, clock
from imaging.objectstore import ObjectStat, ObjectStore
from storage_svc.index.change_log import ChangeLog
from storage_svc.keeping.orphans import ORPHAN_GRACE, Swept, sweep_orphans
from storage_svc.lifecycle.purge import due_for_purge, purge
from storage_svc.schema import QUARANTINE, REJECTION
from storage_svc.storage_metrics import StorageMetrics
from storage_svc.upload.spool import UploadSpool

CHANGES_KEPT = timedelta(days=90)
"""Watchers that were away for longer have to look at what is stored."""

REJECTIONS_KEPT = 100_000
_FIRST_ORPHANS = timedelta(hours=1)
"""After the start. An older database that was restored does not know newer objects: somebody may see it in time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SweepPeriods:
    """How often, and after how long."""

    interval: timedelta
    """Between looks at what the database knows: purges, uploads, changes."""

    orphans: timedelta
    """Between looks through the whole object store, which costs a listing of it."""

    upload_expiry: timedelta


class Sweeper:
    """Sweeps in the background, and orphans also when somebody asks."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        changes: ChangeLog,
        spool: UploadSpool,
        metrics: StorageMetrics,
        periods: SweepPeriods,
    ) -> None:
        self._database = database
        self._store = store
        self._changes = changes
        self._spool = spool
        self._metrics = metrics
        self._periods = periods

    async def run(self) -> None:
        """Sweep until cancelled; the first time after one interval, orphans after an hour."""
        period = self._periods.orphans.total_seconds()
        orphans_due = time.monotonic() + min(period, _FIRST_ORPHANS.total_seconds())
        while True:
            await asyncio.sleep(self._periods.interval.total_seconds())
            try:
                await self.tidy()
                if time.monotonic() >= orphans_due:
                    await self.remove_orphans()
                    orphans_due = time.monotonic() + period
            except Exception:  # noqa: BLE001 - the next sweep may succeed
                _log.exception("a sweep failed")

    async def sweep(self) -> None:
        """Everything once."""
        await self.tidy()
        await self.remove_orphans()

    async def tidy(self) -> None:
        """All that the database knows to be over. What fails waits for the next time; the rest does not wait for it."""
        for step in (self.purge_deleted, self._end_uploads, self._forget_changes, self._forget_rejections):
            try:
                if count := await step():
                    _log.info("swept", extra={"step": step.__name__.lstrip("_"), "count": count})
            except Exception:  # noqa: BLE001 - such as a bucket that is away, while uploads still expire
                _log.exception("a step of the sweep failed", extra={"step": step.__name__.lstrip("_")})
        self._metrics.quarantined = await self._database.read(_quarantined)

    async def _end_uploads(self) -> int:
        await asyncio.to_thread(self._spool.remove_left_over, ORPHAN_GRACE)
        return await self._spool.sweep(self._periods.upload_expiry)

    async def _forget_changes(self) -> int:
        return await self._changes.forget_before(clock.now() - clock.microseconds(CHANGES_KEPT))

    async def _forget_rejections(self) -> int:
        return await self._database.write(_trim_rejections)

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

    async def remove_orphans(self, grace: timedelta = ORPHAN_GRACE) -> int:
        """Remove objects older than `grace` that no row knows; their number."""
        removed = 0
        async with aclosing(self.sweep_orphans(grace=grace)) as steps:
            async for swept, _ in steps:
                removed = swept.removed.objects
        return removed

    async def sweep_orphans(
        self, *, grace: timedelta = ORPHAN_GRACE, dry_run: bool = False
    ) -> AsyncGenerator[tuple[Swept, Sequence[ObjectStat]]]:
        """As `orphans.sweep_orphans`; what was found is logged and measured. An empty store gives one step, too."""
        last: Swept | None = None
        async with aclosing(sweep_orphans(self._database, self._store, grace=grace, dry_run=dry_run)) as steps:
            async for swept, orphans in steps:
                self._metrics.removed(len(orphans) if not dry_run else 0)
                last = swept
                yield swept, orphans
        if last is None:
            last = Swept(grace, clock.utc_now())
            yield last, ()
        if not dry_run:
            self._metrics.swept(last.orphans.objects)
        if last.orphans.objects:
            _log.warning(
                "objects that no row names were found",
                extra={
                    "objects": last.orphans.objects,
                    "size_bytes": last.orphans.size_bytes,
                    "removed": last.removed.objects,
                },
            )

    def _delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._store.delete(key)


def _quarantined(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(QUARANTINE)).scalar_one()


def _trim_rejections(connection: Connection) -> int:
    newest = connection.execute(select(func.max(REJECTION.c.id))).scalar()
    if newest is None:
        return 0
    return connection.execute(delete(REJECTION).where(REJECTION.c.id <= newest - REJECTIONS_KEPT)).rowcount
