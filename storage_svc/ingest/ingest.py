"""The way of one instance: examine, judge, make durable, index, and only then say that it is stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from imaging import deliberate_bug
from imaging.codecs.sandbox import DecodePool
from imaging.database import Database
from imaging.errors import Conflict, DataLoss, ImagingError, StaleAttempt, StorageFull, Unavailable
from imaging.objectstore import ObjectStore
from imaging.storage.v1 import storage_pb2
from storage_svc.index.writer import IndexWriter, Overtaken, is_quarantined
from storage_svc.ingest.arrival import Arrival, Content
from storage_svc.ingest.attempt_fence import AttemptFence
from storage_svc.ingest.contradiction import WORDS, Contradiction
from storage_svc.ingest.examine import examine_file
from storage_svc.ingest.identity import Sameness, Verdict, judge
from storage_svc.ingest.known import NOTHING, Known, Lookup
from storage_svc.ingest.origin import DERIVED, RECEIVED, OriginOf
from storage_svc.ingest.uid_turns import UidTurns
from storage_svc.intake.arena import Slot
from storage_svc.intake.intake import Intake
from storage_svc.keeping.local_copy import local_copy
from storage_svc.keeping.object_check import OK
from storage_svc.keeping.verified_object import is_sound
from storage_svc.upload.header import Announced
from storage_svc.upload.in_flight import InFlight
from storage_svc.upload.open_uploads import OpenUploads

T = TypeVar("T")
Outcome = storage_pb2.StoreOutcome
_EXAMINING = 3
"""Threads that scan and digest spooled files: processor work, of which more threads do not make more."""

_WRITING = 24
"""Threads that write to an object store elsewhere, take files over and delete: nearly all of their time is waiting."""

_BUG_DELAY_SECONDS = 0.3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """A durable instance: its row in the index, and what the rules of identity did."""

    row: Mapping[str, Any]
    outcome: Outcome.ValueType


class Ingest:
    """Stores instances; any number at the same time.

    Parameters
    ----------
    suspect
        Is told the key of an object that was found damaged.
    """

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        writer: IndexWriter,
        open_uploads: OpenUploads,
        pool: DecodePool,
        in_flight: InFlight,
        intake: Intake,
        suspect: Callable[[str], None],
    ) -> None:
        self._database = database
        self._store = store
        self._writer = writer
        self._open_uploads = open_uploads
        self._pool = pool
        self._in_flight = in_flight
        self._intake = intake
        self._suspect = suspect
        self._lookup = Lookup(database, linger=in_flight.linger_to_ask)
        self._turns = UidTurns()
        self._fence = AttemptFence(writer)
        self._examining = ThreadPoolExecutor(_EXAMINING, thread_name_prefix="examine")
        self._writing = ThreadPoolExecutor(_WRITING, thread_name_prefix="write")
        self._later: set[asyncio.Task[Any]] = set()

    async def store(
        self, content: Content, announced: Announced, traceparent: str, *, is_likely_new: bool = False
    ) -> Stored:
        """The instance, durable.

        A spooled file is taken over, or is left where it is if nothing new is kept.

        Parameters
        ----------
        is_likely_new
            Its UID is probably unknown: while few are under way, the index is not asked before the object is written,
            only when the row is. If the UID is known after all, that object goes again, and all is as if it had been.

        Raises
        ------
        InvalidDicom, InvalidArgument, ChecksumMismatch
            If it is not sound, or not what was announced.
        Conflict
            If it contradicts what is kept under its UID; it is in quarantine then.
        StaleAttempt
            If it comes from a stage attempt that was overtaken.
        StorageFull, Unavailable
            If it could not be made durable; nothing is recorded then.
        """
        if announced.origin.kind == DERIVED:
            await self._fence.enter(announced.origin)
        with self._in_flight:
            arrival = await self._examine(content, announced, traceparent)
            with self._open_uploads.hold(arrival.examined.study_instance_uid):
                return await self._store_examined(arrival, is_likely_new=is_likely_new)

    async def _examine(self, content: Content, announced: Announced, traceparent: str) -> Arrival:
        if isinstance(content, Slot):
            examined = await self._intake.examine(content, announced.expected)
            if examined.prefix_bytes:
                start = content.start - examined.prefix_bytes
                content = content.moved(start, content.size_bytes + examined.prefix_bytes)
        else:
            examined = await _in(self._examining, partial(examine_file, content, announced.expected))
        return Arrival(
            content=content,
            examined=examined,
            origin=announced.origin,
            source=announced.source,
            traceparent=traceparent,
        )

    async def _store_examined(self, arrival: Arrival, *, is_likely_new: bool) -> Stored:
        uid = arrival.examined.sop_instance_uid
        # A file that was taken over in vain could not be judged again, and a result of ours has its first origin.
        is_trusted = isinstance(arrival.content, Slot) and arrival.origin.kind == RECEIVED
        is_asked = not (is_likely_new and is_trusted and self._in_flight.is_few())
        async with self._turns.turn(uid):
            while True:
                known = await self._lookup.find(uid) if is_asked else NOTHING
                is_asked = True
                try:
                    return await self._settle(arrival, known)
                except Overtaken:
                    arrival = await self._again(arrival)

    async def close(self) -> None:
        """Wait for work that was begun."""
        if self._later:
            await asyncio.gather(*self._later, return_exceptions=True)
        await asyncio.to_thread(self._examining.shutdown)
        await asyncio.to_thread(self._writing.shutdown)

    async def _again(self, arrival: Arrival) -> Arrival:
        """The same arrival under a new object key: keys are never used twice."""
        if isinstance(arrival.content, Path) and not arrival.content.exists():
            raise _changed_meanwhile(arrival)
        await _in(self._writing, partial(self._store.delete, arrival.object_key))
        return replace(arrival)

    async def _settle(self, arrival: Arrival, known: Known) -> Stored:
        verdict, reason = judge(known, arrival)
        if verdict is Verdict.STORE:
            return await self._store_new(arrival, known.origin or arrival.origin)
        row = known.row
        assert row is not None
        if verdict is Verdict.COMPARE:
            verdict, reason = judge(known, arrival, await self._compare(arrival, row))
        if verdict is Verdict.ALREADY_STORED:
            return Stored(await self._healed(arrival, row), Outcome.STORE_OUTCOME_ALREADY_STORED)
        if verdict is Verdict.EQUIVALENT:
            return Stored(row, Outcome.STORE_OUTCOME_EQUIVALENT)
        if verdict is Verdict.RESTORE:
            return Stored(await self._brought_back(arrival, row), Outcome.STORE_OUTCOME_RESTORED)
        if verdict is Verdict.QUARANTINE:
            raise await self._quarantine(arrival, reason)
        async with self._durable(arrival):
            return Stored(await self._writer.replace(arrival, row), Outcome.STORE_OUTCOME_NEW_VERSION)

    async def _store_new(self, arrival: Arrival, origin: OriginOf) -> Stored:
        if deliberate_bug.active("acknowledge-before-commit"):
            return self._acknowledge_too_early(arrival, origin)
        async with self._durable(arrival):
            return Stored(await self._writer.add(arrival, origin), Outcome.STORE_OUTCOME_STORED)

    @asynccontextmanager
    async def _durable(self, arrival: Arrival) -> AsyncIterator[None]:
        """The object is durable inside, where its row is written.

        It goes again if the row surely cannot be: on a full disk the objects of refused instances would take the last
        room. After any other failure the row may yet be found committed, and an object too many is swept.
        """
        await self._make_durable(arrival)
        try:
            yield
        except (StorageFull, StaleAttempt):
            with suppress(ImagingError):
                await _in(self._writing, partial(self._store.delete, arrival.object_key))
            raise

    async def _make_durable(self, arrival: Arrival) -> None:
        content = arrival.content
        if isinstance(content, Slot) and self._intake.keeps:
            await self._intake.keep(arrival.object_key, content)
            return
        put: Callable[[], None] = (
            partial(self._store.put, arrival.object_key, content.view)
            if isinstance(content, Slot)
            else partial(self._store.adopt, arrival.object_key, content)
        )
        await _in(self._writing, put)

    async def _healed(self, arrival: Arrival, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row; if its object is gone or damaged, the bytes that came again take its place.

        It is read, not only looked for: whoever is told "already stored" may drop the last good copy.
        """
        if row["data_set_sha256"] != arrival.examined.data_set_sha256:
            return row
        if row["condition"] == OK and await _in(self._writing, partial(is_sound, self._store, row)):
            return row
        _log.error("a stored object was lost or damaged and is replaced", extra={"object_key": row["object_key"]})
        async with self._durable(arrival):
            return await self._writer.heal(arrival, row)

    async def _brought_back(self, arrival: Arrival, row: Mapping[str, Any]) -> Mapping[str, Any]:
        row = await self._healed(arrival, row)
        try:
            return await self._writer.bring_back(arrival, row)
        except Overtaken:
            if row["object_key"] == arrival.object_key:  # healed by this arrival, whose object belongs to the row now
                raise _changed_meanwhile(arrival) from None
            raise

    async def _compare(self, arrival: Arrival, row: Mapping[str, Any]) -> Sameness:
        def run() -> Sameness:
            from storage_svc.ingest.same_content import compare  # by pydicom, which is large, and seldom needed

            try:
                with local_copy(self._store, row) as old:
                    return compare(old, arrival.content, self._pool)
            except DataLoss:
                return Sameness.KEPT_IS_DAMAGED

        sameness = await asyncio.to_thread(run)
        if sameness is Sameness.KEPT_IS_DAMAGED:
            self._suspect(row["object_key"])
        return sameness

    async def _quarantine(self, arrival: Arrival, reason: Contradiction.ValueType) -> Conflict:
        """The error to raise, once the arrival is safe in quarantine; the same bytes are kept there once."""
        uid, sha256 = arrival.examined.sop_instance_uid, arrival.examined.data_set_sha256
        if not await self._database.read(lambda connection: is_quarantined(connection, uid, sha256)):
            async with self._durable(arrival):
                await self._writer.quarantine(arrival, reason)
        return Conflict(
            f"Another instance is stored under this SOP Instance UID: {WORDS[reason]}",
            where=str(arrival.name),
            hint="The first one is kept, this one is in quarantine. Give it a UID of its own at the source.",
        )

    def _acknowledge_too_early(self, arrival: Arrival, origin: OriginOf) -> Stored:
        """The deliberate bug: say that it is stored, and store it a little later."""

        async def late() -> None:
            await asyncio.sleep(_BUG_DELAY_SECONDS)
            await self._make_durable(arrival)
            await self._writer.add(arrival, origin)

        task = asyncio.create_task(late())
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        row = {**arrival.instance_columns, **origin.columns, "version": 1}
        return Stored(row, Outcome.STORE_OUTCOME_STORED)


def _changed_meanwhile(arrival: Arrival) -> Unavailable:
    return Unavailable(
        "The instance was changed by another request at the same time", where=str(arrival.name), hint="Send it again."
    )


async def _in(executor: Executor, function: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, function)
