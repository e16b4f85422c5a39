"""Wiring of the storage service: opens its back ends, connects the parts, serves, and drains."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, select

from imaging.codecs.sandbox import DecodePool
from imaging.database import Database, clock
from imaging.objectstore import FolderObjectStore, MeasuredObjectStore, ObjectStore
from imaging.rpc.server import RpcServer
from imaging.settings import Settings
from imaging.settings.database import database_access
from imaging.settings.s3 import s3_access
from imaging.storage.v1 import (
    storage_admin_service_pb2,
    storage_admin_service_pb2_grpc,
    storage_service_pb2,
    storage_service_pb2_grpc,
)
from storage_svc.admin_parts import AdminParts
from storage_svc.admin_servicer import StorageAdminServicer
from storage_svc.index.change_log import ChangeLog, commit_changes
from storage_svc.index.completion import Completion
from storage_svc.index.writer import IndexWriter
from storage_svc.ingest.ingest import Ingest
from storage_svc.intake.arena import Arena
from storage_svc.intake.intake import Intake
from storage_svc.keeping.condition_record import ConditionRecord
from storage_svc.keeping.orphans import ORPHAN_GRACE
from storage_svc.keeping.scrubber import Scrubber
from storage_svc.keeping.suspects import Suspects
from storage_svc.keeping.sweeper import Sweeper, SweepPeriods
from storage_svc.keeping.write_watch import WRITES, WriteWatch
from storage_svc.metadata.builder import SegmentBuilder
from storage_svc.metadata.retrieve import MetadataReader
from storage_svc.schema import INSTALLATION, KEPT_OBJECT, TABLES
from storage_svc.servicer import Parts, StorageServicer
from storage_svc.storage_metrics import StorageMetrics
from storage_svc.upload.in_flight import InFlight
from storage_svc.upload.open_uploads import OpenUploads
from storage_svc.upload.spool import UploadSpool
from storage_svc.upload.stream import UploadServices
from storage_svc.versions.decisions import Decisions

SERVICE_NAME = storage_service_pb2.DESCRIPTOR.services_by_name["StorageService"].full_name
_ADMIN_NAME = storage_admin_service_pb2.DESCRIPTOR.services_by_name["StorageAdminService"].full_name
_READERS = 4


class Service:
    """The running service. Made by `build`."""

    def __init__(self, settings: Settings) -> None:
        own = settings.storage
        folder = settings.data_dir / "storage"
        self._database = Database.open(database_access(settings, "storage"), TABLES, finish=commit_changes)
        try:
            bucket = _bucket(settings, folder, self._database)
        except BaseException:
            self._database.close_now()
            raise
        objects = folder.absolute() / "objects"
        # Another process may be at work in the same folder.
        left_over_age = ORPHAN_GRACE if self._database.is_shared else timedelta(0)
        store = MeasuredObjectStore(
            bucket or FolderObjectStore(objects, keep_unfinished=left_over_age), "s3" if bucket else "folder"
        )
        self._arena = Arena(own.bytes_in_flight)
        self._intake = Intake(self._arena.descriptor, None if bucket else objects)
        open_uploads = OpenUploads()
        changes = self._changes = ChangeLog(self._database)
        spool = UploadSpool(self._database, store.spool, open_uploads)
        spool.remove_left_over(left_over_age)
        quiet_time = clock.microseconds(timedelta(seconds=own.quiet_time_seconds))
        self._pool = DecodePool()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="retrieve")
        # Threads of their own: who asks for many pictures keeps nobody from reading.
        self._renderers = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="render")
        in_flight = InFlight()
        writer = IndexWriter(changes, quiet_time_us=quiet_time, linger=in_flight.linger)
        metrics = self._metrics = StorageMetrics(self._arena, self._pool, settings.data_dir)
        record = ConditionRecord(changes, metrics)
        self._suspects = Suspects(self._database, store, record)
        self._ingest = Ingest(
            self._database, store, writer, open_uploads, self._pool, in_flight, self._intake, self._suspects.report
        )
        self._storing: set[asyncio.Task[None]] = set()
        self._write_watch = WriteWatch(self._database, store, self._tell_writable)
        uploads = UploadServices(
            self._ingest, spool, self._arena, self._database, self._storing, self._write_watch.doubt
        )
        self._completion = Completion(self._database, changes, open_uploads)
        self.segments = SegmentBuilder(self._database, store, changes, in_flight.is_busy)
        self.sweeper = Sweeper(
            self._database,
            store,
            changes,
            spool,
            metrics,
            SweepPeriods(
                interval=timedelta(seconds=own.sweep_interval_seconds),
                orphans=timedelta(hours=own.orphan_sweep_hours),
                upload_expiry=timedelta(hours=own.upload_expiry_hours),
            ),
        )
        self.scrubber = Scrubber(
            self._database,
            store,
            record,
            period=timedelta(days=own.scrub_period_days),
            bytes_per_second=own.scrub_bytes_per_second,
        )
        servicer = StorageServicer(
            Parts(
                database=self._database,
                store=store,
                changes=changes,
                completion=self._completion,
                uploads=uploads,
                pool=self._pool,
                readers=self._readers,
                renderers=self._renderers,
                metrics=metrics,
                suspects=self._suspects,
                metadata=MetadataReader(self._database, store, self._readers, self.segments.hint),
                delete_grace=timedelta(days=own.delete_grace_days),
                quiet_time=timedelta(seconds=own.quiet_time_seconds),
            )
        )
        admin = StorageAdminServicer(
            AdminParts(
                database=self._database,
                store=store,
                record=record,
                readers=self._readers,
                scrubber=self.scrubber,
                decisions=Decisions(self._database, store, changes, quiet_time),
                sweeper=self.sweeper,
            )
        )
        add, add_admin = (
            storage_service_pb2_grpc.add_StorageServiceServicer_to_server,
            storage_admin_service_pb2_grpc.add_StorageAdminServiceServicer_to_server,
        )
        self._server = RpcServer(
            settings.listen("storage"),
            {SERVICE_NAME: partial(add, servicer), _ADMIN_NAME: partial(add_admin, admin)},
        )
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Serve; the port."""
        await self._intake.start()
        port = await self._server.start()
        self._background = [
            asyncio.create_task(self._completion.run(), name="completion"),
            asyncio.create_task(self.sweeper.run(), name="sweeper"),
            asyncio.create_task(self.scrubber.run(), name="scrubber"),
            asyncio.create_task(self._suspects.run(), name="suspects"),
            asyncio.create_task(self._write_watch.run(), name="write-watch"),
            asyncio.create_task(self.segments.run(), name="metadata"),
        ]
        return port

    async def _tell_writable(self, writable: bool) -> None:
        self._metrics.writable = writable
        await self._server.set_health(WRITES, writable)

    async def stop(self, grace: timedelta) -> None:
        """Take nothing new, finish what is being stored, close the back ends."""
        self._changes.end()
        await self._server.stop(grace)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, *self._storing, return_exceptions=True)
        await self._ingest.close()
        await self._intake.close()
        self._arena.close()
        await self._pool.close()
        await asyncio.to_thread(self._readers.shutdown)
        await asyncio.to_thread(self._renderers.shutdown)
        await self._database.close()


def _bucket(settings: Settings, folder: Path, database: Database) -> ObjectStore | None:
    access = s3_access(settings)
    if access is None:
        return None
    from imaging.objectstore.s3 import S3ObjectStore  # its client takes time to load
    from imaging.objectstore.s3_bucket import BucketOwner

    def owner(connection: Connection) -> BucketOwner:
        identity = connection.execute(select(INSTALLATION.c.identity)).scalar_one()
        return BucketOwner(identity, connection.execute(select(KEPT_OBJECT.c.object_key).limit(1)).first() is not None)

    return S3ObjectStore(folder / "s3", access, database.read_now(owner))


def build(settings: Settings) -> Service:
    """The storage service, ready to start.

    Raises
    ------
    FailedPrecondition
        If another process uses the data directory, the database has another schema version or could lose data, or the
        bucket belongs to another database or lacks the objects of this one.
    SettingsInvalid, Unavailable
        If the database or the S3 server cannot be used as the settings say, or does not answer.
    """
    return Service(settings)
