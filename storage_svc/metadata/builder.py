"""Writes segments behind the acknowledgement: follows the change log, and gives way to what is being stored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from imaging.database import Database
from imaging.dicom.json_model import JsonModels
from imaging.errors import ImagingError
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_pb2
from storage_svc.index.change_log import ChangeLog
from storage_svc.index.object_rows import instances_by_uid
from storage_svc.metadata.pieces import Wanted, grouped, pieces_of
from storage_svc.metadata.segment import Parts, Segment, packed
from storage_svc.metadata.segment_rows import (
    Listing,
    SeriesKey,
    add_segments,
    list_segments,
    live_instances,
    load_segments,
    remove_segments,
)
from storage_svc.metadata.series_plan import Mixed, Whole, series_plan
from storage_svc.names import parse_name
from storage_svc.schema import CHANGE, METADATA_CURSOR

QUIET_SECONDS: Final = 2.0
"""A series to which nothing came for so long is written; before that its slices come in any order."""

MANY: Final = 512
"""So many new instances of a series are written before it is quiet, and later as many as there are already."""

_LOOK_SECONDS = 0.5
_IDLE_SECONDS = 30.0
_CHANGES = 2000
_MOST_PENDING = 10_000
_GIVE_WAY_SECONDS = 0.05
_PATIENCE_SECONDS = 10.0
"""How long a group waits for an idle moment; after that it takes one processor for a quarter of the time."""
_WORK_SHARE = 4
_UNREAD = -1
_PENDING_BYTES = 16 * 1024 * 1024
_MODELS_BYTES = 4 * 1024 * 1024
"""Of texts that the models of a series share, kept while they are made."""

_log = logging.getLogger(__name__)
Row = Mapping[str, Any]


@dataclass(slots=True)
class _Pending:
    """A series with changes that no segment has yet."""

    first_revision: int
    count: int
    changed: float
    """By the monotonic clock."""
    is_read: bool = False
    """Somebody reads it, so it is written at once, quiet or not."""


class SegmentBuilder:
    """Keeps the segments of all series up to date.

    What was not written when the service ended is found again: the revision up to which all is written is kept with
    the segments. Several services on one database do the same work twice at worst.

    Parameters
    ----------
    is_busy
        Whether instances are being stored just now.
    """

    def __init__(self, database: Database, store: ObjectStore, changes: ChangeLog, is_busy: Callable[[], bool]) -> None:
        self._database = database
        self._store = store
        self._changes = changes
        self._is_busy = is_busy
        self._pending: dict[SeriesKey, _Pending] = {}
        self._written: dict[SeriesKey, int] = {}
        self._revision = self._kept_revision = _UNREAD
        self._hinted = asyncio.Event()
        self._working = asyncio.Lock()

    def hint(self, series: SeriesKey) -> None:
        """Say that somebody reads a series whose segments do not fit what it has: it is written now."""
        if series in self._pending or len(self._pending) < _MOST_PENDING:
            pending = self._pending.setdefault(series, _Pending(self._revision + 1, 0, time.monotonic()))
            pending.is_read = True
            self._hinted.set()

    async def run(self) -> None:
        """Write segments until cancelled."""
        while True:
            try:
                await self._work(all_of_it=False)
            except Exception:  # noqa: BLE001 - metadata are made on demand as well; the next look may succeed
                _log.exception("metadata could not be written")
            await self._wait()

    async def catch_up(self) -> None:
        """Write all that has changed so far, quiet or not."""
        await self._work(all_of_it=True)

    async def _work(self, *, all_of_it: bool) -> None:
        async with self._working:
            if self._revision == _UNREAD:
                self._revision = self._kept_revision = await self._database.read(_read_cursor)
            while await self._look() == _CHANGES:
                await self._write_due(all_of_it)
            await self._write_due(all_of_it)

    async def _wait(self) -> None:
        """Wait until there may be something to write."""
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(self._hinted.wait())]
        if not self._pending:
            waiting.append(asyncio.create_task(self._changes.wait_for_news(_IDLE_SECONDS)))
        try:
            timeout = _LOOK_SECONDS if self._pending else None
            await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hinted.clear()
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _look(self) -> int:
        """Note what has changed since the last look; the number of changes."""
        start, now = self._revision + 1, time.monotonic()
        found = await self._database.read(lambda connection: _stored_since(connection, start))
        for revision, name in found:
            parsed = parse_name(name, 3)
            series = SeriesKey(parsed.study_instance_uid, parsed.series_instance_uid)
            pending = self._pending.setdefault(series, _Pending(revision, 0, now))
            pending.count += 1
            pending.changed = now
            self._revision = revision
        return len(found)

    async def _write_due(self, all_of_it: bool) -> None:
        at_once = all_of_it or len(self._pending) >= _MOST_PENDING
        for series, pending in list(self._pending.items()):
            quiet = time.monotonic() - pending.changed >= QUIET_SECONDS
            if pending.is_read or quiet or at_once or pending.count >= max(MANY, self._written.get(series, 0)):
                del self._pending[series]
                try:
                    await self.write(series)
                except ImagingError as error:
                    # Requests make what they need, and tell what is wrong with it.
                    _log.warning("metadata of a series are not kept: %s", error.text)
        await self._keep_cursor()

    async def _keep_cursor(self) -> None:
        pending = [each.first_revision for each in self._pending.values()]
        revision = min(pending, default=self._revision + 1) - 1
        if revision > self._kept_revision:
            await self._database.write(lambda connection: _write_cursor(connection, revision))
            self._kept_revision = revision

    async def write(self, series: SeriesKey) -> None:
        """Make the segments of a series those of its instances, in their order. What is right already stays.

        Raises
        ------
        DataLoss
            If stored bytes are gone or damaged.
        Unavailable
            If an instance was changed meanwhile.
        """

        def read(connection: Connection) -> tuple[Sequence[Any], dict[str, Listing]]:
            return live_instances(connection, series), list_segments(connection, series)

        lives, listings = await self._database.read(read)
        models = JsonModels(_MODELS_BYTES)
        kept: set[str] = set()
        ready: list[Segment] = []
        for part in series_plan(lives, listings, merge_small=True):
            if isinstance(part, Whole):
                kept.add(part.segment_id)
                continue
            same = _same(part, listings)
            if same:
                kept.add(same)
                continue
            ready += await self._segments(part.instances, listings, models)
            if sum(segment.size_bytes for segment in ready) > _PENDING_BYTES:
                await self._add(series, ready)
                ready = []
        if ready or len(kept) < len(listings):
            await self._add(series, ready, kept, listings)
        self._written[series] = len(lives)
        while len(self._written) > _MOST_PENDING:
            del self._written[next(iter(self._written))]

    async def _segments(
        self, wanted: Sequence[Wanted], listings: Mapping[str, Listing], models: JsonModels
    ) -> list[Segment]:
        ids = {place.segment_id for _, place in wanted if place is not None}
        loaded = await self._database.read(lambda connection: load_segments(connection, ids)) if ids else {}
        wanted = [(live, place if place and place.segment_id in loaded else None) for live, place in wanted]
        new = [live.sop_instance_uid for live, place in wanted if place is None]
        found = await instances_by_uid(self._database, new) if new else []
        rows = {row["sop_instance_uid"]: row for row in found}
        segments = []
        for group in grouped(wanted, listings, rows):
            await self._give_way()
            begun = time.monotonic()
            pieces = partial(pieces_of, group, loaded, rows, self._store, models, Parts.MODEL | Parts.HEADER)
            segments.append(await asyncio.to_thread(lambda make: packed(make()), pieces))
            if self._is_busy():
                await asyncio.sleep((_WORK_SHARE - 1) * (time.monotonic() - begun))
        return segments

    async def _give_way(self) -> None:
        """Wait for a moment at which nothing is being stored, but not for ever."""
        latest = time.monotonic() + _PATIENCE_SECONDS
        while self._is_busy() and time.monotonic() < latest:  # noqa: ASYNC110 - it changes thousands of times a second
            await asyncio.sleep(_GIVE_WAY_SECONDS)

    async def _add(
        self,
        series: SeriesKey,
        segments: Sequence[Segment],
        kept: set[str] | None = None,
        listings: Mapping[str, Listing] | None = None,
    ) -> None:
        def write(connection: Connection) -> None:
            add_segments(connection, series, segments)
            if kept is not None and listings is not None:
                remove_segments(connection, series, kept, listings)

        await self._database.write(write)


def _same(part: Mixed, listings: Mapping[str, Listing]) -> str:
    """The small segment that is exactly this part, if there is one."""
    place = part.instances[0][1]
    if place is None or place.position or len(listings[place.segment_id].entries) != len(part.instances):
        return ""
    expected = [(place.segment_id, position) for position in range(len(part.instances))]
    return place.segment_id if [found for _, found in part.instances] == expected else ""


def _stored_since(connection: Connection, start: int) -> Sequence[tuple[int, str]]:
    query = (
        select(CHANGE.c.revision, CHANGE.c.name)
        .where(CHANGE.c.revision >= start, CHANGE.c.kind == storage_pb2.Change.KIND_INSTANCE_STORED)
        .order_by(CHANGE.c.revision)
        .limit(_CHANGES)
    )
    return [(revision, name) for revision, name in connection.execute(query)]


def _read_cursor(connection: Connection) -> int:
    return connection.execute(select(METADATA_CURSOR.c.revision)).scalar() or 0


def _write_cursor(connection: Connection, revision: int) -> None:
    found = connection.execute(
        update(METADATA_CURSOR).where(METADATA_CURSOR.c.revision <= revision).values(revision=revision)
    )
    if not found.rowcount and connection.execute(select(METADATA_CURSOR.c.revision)).scalar() is None:
        connection.execute(insert(METADATA_CURSOR).values(id=1, revision=revision))
