"""The gRPC face of the administration of storage."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import Connection

from imaging.database.clock import timestamp
from imaging.objectstore import ObjectStat
from imaging.rpc.page_token import decode_token, encode_token, page_size, query_digest
from imaging.storage.v1 import storage_admin_service_pb2 as pb
from storage_svc.keeping.orphans import Swept
from storage_svc.keeping.scrub_queue import ScrubState
from storage_svc.keeping.scrubber import Scrubber
from storage_svc.keeping.verify_objects import verify_objects
from storage_svc.names import parse_name
from storage_svc.schema import KEPT_OBJECT
from storage_svc.versions.kept_objects import IS_DAMAGED, kept_object, kept_objects
from storage_svc.versions_servicer import VersionsServicer

Context = grpc.aio.ServicerContext[Any, Any]
Row = Mapping[str, Any]


class StorageAdminServicer(VersionsServicer):
    """Implements `imaging.storage.v1.StorageAdminService`."""

    async def VerifyObjects(
        self, request: pb.VerifyObjectsRequest, context: Context
    ) -> AsyncGenerator[pb.VerifyObjectsResponse]:
        names = [parse_name(name) for name in request.names]
        parts, only_size = self._parts, request.depth == pb.VerifyObjectsRequest.DEPTH_SIZE
        async for message in verify_objects(parts.database, parts.store, parts.record, names, only_size=only_size):
            yield message

    async def SweepStorage(
        self, request: pb.SweepStorageRequest, context: Context
    ) -> AsyncGenerator[pb.SweepStorageResponse]:
        async with aclosing(self._parts.sweeper.sweep_orphans(dry_run=request.dry_run)) as steps:
            async for swept, orphans in steps:
                yield pb.SweepStorageResponse(
                    report=_sweep_report(swept),
                    orphans=[_orphan(found, removed=not request.dry_run) for found in orphans],
                )

    async def GetScrubStatus(self, request: pb.GetScrubStatusRequest, context: Context) -> pb.GetScrubStatusResponse:
        scrubber = self._parts.scrubber
        return pb.GetScrubStatusResponse(status=_scrub_status(scrubber, await scrubber.state()))

    async def StartScrub(self, request: pb.StartScrubRequest, context: Context) -> pb.StartScrubResponse:
        scrubber = self._parts.scrubber
        return pb.StartScrubResponse(status=_scrub_status(scrubber, await scrubber.start()))

    async def ListDamagedObjects(
        self, request: pb.ListDamagedObjectsRequest, context: Context
    ) -> pb.ListDamagedObjectsResponse:
        size, digest = page_size(request.page_size), query_digest("damaged")
        position = decode_token(request.page_token, digest, (str,))
        rows = await self._parts.database.read(
            partial(_damaged, after=str(position[0]) if position else "", limit=size + 1)
        )
        more = len(rows) > size
        return pb.ListDamagedObjectsResponse(
            objects=[kept_object(row) for row in rows[:size]],
            next_page_token=encode_token((rows[size - 1]["object_key"],), digest) if more else "",
        )


def _damaged(connection: Connection, after: str, limit: int) -> list[Row]:
    query = kept_objects().where(IS_DAMAGED, KEPT_OBJECT.c.object_key > after).order_by(KEPT_OBJECT.c.object_key)
    return [dict(row) for row in connection.execute(query.limit(limit)).mappings()]


def _sweep_report(swept: Swept) -> pb.SweepReport:
    report = pb.SweepReport(
        object_count=swept.listed.objects,
        size_bytes=swept.listed.size_bytes,
        orphan_count=swept.orphans.objects,
        orphan_bytes=swept.orphans.size_bytes,
        removed_count=swept.removed.objects,
        removed_bytes=swept.removed.size_bytes,
        young_count=swept.young.objects,
        young_bytes=swept.young.size_bytes,
    )
    report.grace_period.FromTimedelta(swept.grace)
    if swept.oldest is not None:
        report.oldest_orphan_time.FromDatetime(swept.oldest)
    return report


def _orphan(found: ObjectStat, *, removed: bool) -> pb.OrphanObject:
    orphan = pb.OrphanObject(object_key=found.key, size_bytes=found.size_bytes, removed=removed)
    orphan.modify_time.FromDatetime(found.modify_time)
    return orphan


def _scrub_status(scrubber: Scrubber, state: ScrubState) -> pb.ScrubStatus:
    period = Duration()
    period.FromTimedelta(scrubber.period)
    status = pb.ScrubStatus(
        period=period,
        bytes_per_second=scrubber.bytes_per_second,
        object_count=state.kept.objects,
        size_bytes=state.kept.size_bytes,
        overdue_count=state.overdue,
        missing_count=state.missing,
        differing_count=state.differing,
        wanted_count=state.wanted.objects,
        wanted_bytes=state.wanted.size_bytes,
    )
    if state.oldest_verify_time is not None:
        status.oldest_verify_time.CopyFrom(timestamp(state.oldest_verify_time))
    if state.wanted_time:
        status.wanted_time.CopyFrom(timestamp(state.wanted_time))
    return status
