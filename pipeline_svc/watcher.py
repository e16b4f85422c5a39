"""Follows storage's change log: a study that is complete gets a run, exactly one a manifest version.

The cursor is committed together with the run that it creates, so that a crash at any moment neither loses a change nor
acts on it twice.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context

from imaging import deliberate_bug
from imaging.database.lease import LeaseLost
from imaging.errors import ImagingError, NotFound, RevisionTooOld
from imaging.rpc.tracing import context_of
from imaging.storage.v1 import storage_pb2
from pipeline_svc.recipes.book import RecipeBook
from pipeline_svc.runs.changes import EndedRun
from pipeline_svc.runs.control import RunControl
from pipeline_svc.runs.creation import new_run, read_series
from pipeline_svc.runs.engine import RunEngine
from pipeline_svc.runs.record import RunRecord
from pipeline_svc.runs.runs import Runs

if TYPE_CHECKING:
    from imaging.client.storage import StorageClient

_log = logging.getLogger(__name__)

KINDS = (storage_pb2.Change.KIND_STUDY_COMPLETED, storage_pb2.Change.KIND_STUDY_DELETED)
_RETRY_S = 1.0


class LogReplaced(Exception):
    """Storage's log ends before our cursor: it is another log, of a storage that was set up anew."""


class Watcher:
    """One task that follows the log for as long as this replica is on duty."""

    def __init__(
        self, *, storage: StorageClient, runs: Runs, book: RecipeBook, engine: RunEngine, control: RunControl
    ) -> None:
        self._storage = storage
        self._runs = runs
        self._book = book
        self._engine = engine
        self._control = control

    async def watch(self) -> None:
        """Follow the log, without end; what fails is tried again from the cursor.

        Raises
        ------
        LeaseLost
            If another replica follows it by now.
        """
        while True:
            try:
                await self._follow_or_make_up()
            except ImagingError as error:
                _log.warning("the change log cannot be followed now", extra={"error": error.text})
            except LeaseLost:
                raise
            except Exception:  # noqa: BLE001 - without its watcher the service would look well and do nothing
                _log.exception("a change met a defect; it is tried again")
            await asyncio.sleep(_RETRY_S)

    async def _follow_or_make_up(self) -> None:
        try:
            await self.follow()
        except RevisionTooOld as error:
            oldest = int(error.metadata.get("oldest_revision", "1"))
            _log.warning("storage's log begins after the cursor", extra={"oldest_revision": oldest})
            await self._look_at_every_study(oldest - 1)
        except LogReplaced:
            _log.warning("storage's log ends before the cursor; it is followed from its beginning")
            await self._control.let_go(await self._runs.retire_all())

    async def follow(self) -> None:
        """Act on all changes after the cursor, then on those that come.

        Raises
        ------
        RevisionTooOld
            If the log no longer holds what comes after the cursor.
        LogReplaced
            If the log ends before the cursor.
        """
        done = await self._runs.cursor()
        start = 0 if deliberate_bug.active("skip-cursor") else done + 1
        async for message in self._storage.watch_changes(start, KINDS):
            if message.revision < done:
                raise LogReplaced
            for change in message.changes:
                if change.revision > done:
                    await self._act(change)
                    done = change.revision
            if message.revision > done:
                await self._runs.advance(message.revision)
                done = message.revision

    async def _act(self, change: storage_pb2.Change) -> None:
        # What is asked of storage for a study belongs to the trace of its manifest version.
        token = otel_context.attach(context_of(change.traceparent))
        try:
            if change.kind == storage_pb2.Change.KIND_STUDY_DELETED:
                ended = await self._runs.retire_and_advance(change.name, change.revision)
                await self._control.let_go(ended)
            elif change.kind == storage_pb2.Change.KIND_STUDY_COMPLETED:
                await self._study_completed(change.name, change.manifest_version, change.traceparent, change.revision)
            else:
                await self._runs.advance(change.revision)
        finally:
            otel_context.detach(token)

    async def _study_completed(self, name: str, manifest_version: int, traceparent: str, revision: int) -> None:
        try:
            study = await self._storage.get_study(name)
            series = await read_series(self._storage, name)
        except NotFound:
            # Deleted meanwhile; the change that tells so comes later in the log.
            await self._runs.advance(revision)
            return
        with new_run(
            self._book, study, series, manifest_version=manifest_version, manifest_traceparent=traceparent
        ) as new:
            created = await self._runs.create_and_advance(new, revision)
        await self._created(*created)

    async def _created(self, run: RunRecord, ended: list[EndedRun]) -> None:
        _log.info(
            "study complete",
            extra={"study": run.study, "run": run.name, "recipe": run.recipe, "reason": run.reason},
        )
        if run.is_going:
            self._engine.submit(run.id)
        await self._control.let_go(ended)

    async def _look_at_every_study(self, revision: int) -> None:
        """Make up for changes that are gone from the log, then follow it after `revision`."""
        async for study in self._storage.search_studies():
            if study.manifest.version == 0:
                continue
            series = await read_series(self._storage, study.name)
            with new_run(
                self._book,
                study,
                series,
                manifest_version=study.manifest.version,
                manifest_traceparent=study.manifest.traceparent,
            ) as new:
                created = await self._runs.create(new)
            await self._created(*created)
        await self._runs.advance(revision)
