"""The gRPC face of storage: parses requests, asks the domain, builds answers. Errors are typed elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc

from imaging.codecs.sandbox import DecodePool
from imaging.database import Database
from imaging.objectstore import ObjectStore
from imaging.rpc.page_token import page_size
from imaging.rpc.tracing import traceparent_of_current_span
from imaging.storage.v1 import storage_pb2
from imaging.storage.v1 import storage_service_pb2 as pb
from storage_svc import resources
from storage_svc.index.change_log import ChangeLog
from storage_svc.index.completion import Completion
from storage_svc.index.live import live_instance, live_series, live_study
from storage_svc.index.manifest import Expectation
from storage_svc.index.watch import watch_changes
from storage_svc.keeping.suspects import Suspects
from storage_svc.lifecycle_servicer import LifecycleServicer
from storage_svc.metadata.retrieve import MetadataReader
from storage_svc.names import Name, parse_name
from storage_svc.retrieve.bulk_data import retrieve_bulk_data
from storage_svc.retrieve.frames import retrieve_frames
from storage_svc.retrieve.instances import retrieve_instances
from storage_svc.search.run import Page, Search, run_search
from storage_svc.storage_metrics import StorageMetrics
from storage_svc.upload.stream import UploadServices, UploadStream

Context = grpc.aio.ServicerContext[Any, Any]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the servicer serves from."""

    database: Database
    store: ObjectStore
    changes: ChangeLog
    completion: Completion
    uploads: UploadServices
    pool: DecodePool
    readers: Executor
    renderers: Executor
    metadata: MetadataReader
    metrics: StorageMetrics
    suspects: Suspects
    delete_grace: timedelta
    quiet_time: timedelta


class StorageServicer(LifecycleServicer):
    """Implements `imaging.storage.v1.StorageService`."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.changes, delete_grace=parts.delete_grace, quiet_time=parts.quiet_time)
        self._parts = parts
        self._render: Callable[..., AsyncGenerator[bytes]] | None = None

    async def StoreInstances(
        self, request_iterator: AsyncIterator[pb.StoreInstancesRequest], context: Context
    ) -> AsyncGenerator[pb.StoreInstancesResponse]:
        stream = UploadStream(self._parts.uploads, traceparent_of_current_span())
        answers = stream.serve(request_iterator)
        try:
            async for answer in answers:
                self._parts.metrics.answered(answer)
                yield answer
        finally:
            await answers.aclose()

    async def CompleteStudy(self, request: pb.CompleteStudyRequest, context: Context) -> pb.CompleteStudyResponse:
        name = parse_name(request.name, 1)
        expected = Expectation(list(request.expected_sop_instance_uids), request.expected_instance_count)
        row = await self._parts.completion.complete(name.study_instance_uid, expected)
        return pb.CompleteStudyResponse(manifest=resources.manifest(row))

    async def GetStudy(self, request: pb.GetStudyRequest, context: Context) -> pb.GetStudyResponse:
        name = parse_name(request.name, 1)
        return pb.GetStudyResponse(study=await self._study(name))

    async def GetSeries(self, request: pb.GetSeriesRequest, context: Context) -> pb.GetSeriesResponse:
        name = parse_name(request.name, 2)
        row = await self._parts.database.read(lambda connection: live_series(connection, name))
        return pb.GetSeriesResponse(series=resources.series(row))

    async def GetInstance(self, request: pb.GetInstanceRequest, context: Context) -> pb.GetInstanceResponse:
        name = parse_name(request.name, 3)
        row = await self._parts.database.read(lambda connection: live_instance(connection, name))
        return pb.GetInstanceResponse(instance=resources.instance(row))

    async def SearchStudies(self, request: pb.SearchStudiesRequest, context: Context) -> pb.SearchStudiesResponse:
        page = await self._page(1, request, oldest_first=request.order == pb.SearchStudiesRequest.ORDER_OLDEST_FIRST)
        studies = [resources.study(row) for row in page.rows]
        return pb.SearchStudiesResponse(studies=studies, next_page_token=page.next_page_token, count=page.count)

    async def SearchSeries(self, request: pb.SearchSeriesRequest, context: Context) -> pb.SearchSeriesResponse:
        page = await self._page(2, request, parent=_parent(request.parent, 1))
        series = [resources.series(row) for row in page.rows]
        return pb.SearchSeriesResponse(series=series, next_page_token=page.next_page_token, count=page.count)

    async def SearchInstances(self, request: pb.SearchInstancesRequest, context: Context) -> pb.SearchInstancesResponse:
        page = await self._page(3, request, parent=_parent(request.parent, 1, 2))
        instances = [resources.instance(row) for row in page.rows]
        return pb.SearchInstancesResponse(instances=instances, next_page_token=page.next_page_token, count=page.count)

    async def RetrieveInstances(
        self, request: pb.RetrieveInstancesRequest, context: Context
    ) -> AsyncGenerator[pb.RetrieveInstancesResponse]:
        parts = self._parts
        messages = retrieve_instances(
            parts.database,
            parts.store,
            parts.readers,
            parts.pool,
            parse_name(request.name),
            accept=request.accept_transfer_syntax_uids,
            start_offset=request.start_offset,
        )
        async for message in parts.suspects.noticing(messages):
            parts.metrics.sent("instances", message)
            yield message  # type: ignore[misc]  # serialized in a thread, as are frames

    async def RetrieveMetadata(
        self, request: pb.RetrieveMetadataRequest, context: Context
    ) -> AsyncGenerator[pb.RetrieveMetadataResponse]:
        parts = self._parts
        async for message in parts.suspects.noticing(parts.metadata.retrieve(request)):
            parts.metrics.sent("metadata", message)
            yield message  # type: ignore[misc]  # serialized in a thread, as are frames

    async def RetrieveFrames(
        self, request: pb.RetrieveFramesRequest, context: Context
    ) -> AsyncGenerator[pb.RetrieveFramesResponse]:
        parts = self._parts
        messages = retrieve_frames(parts.database, parts.store, parts.readers, parts.pool, request)
        async for message in parts.suspects.noticing(messages):
            parts.metrics.sent("frames", message)
            yield message  # type: ignore[misc]  # serialized in a thread; `imaging.rpc` sends bytes as they are

    async def RenderFrames(
        self, request: pb.RenderFramesRequest, context: Context
    ) -> AsyncGenerator[pb.RenderFramesResponse]:
        parts = self._parts
        if self._render is None:
            self._render = await asyncio.to_thread(_renderer)
        pictures = self._render(parts.database, parts.store, parts.renderers, parts.pool, request)
        async for message in parts.suspects.noticing(pictures):
            parts.metrics.sent("pictures", message)
            yield message  # type: ignore[misc]  # serialized in a thread, as are frames

    async def RetrieveBulkData(
        self, request: pb.RetrieveBulkDataRequest, context: Context
    ) -> AsyncGenerator[pb.RetrieveBulkDataResponse]:
        parts = self._parts
        async for message in retrieve_bulk_data(
            parts.database, parts.store, parts.readers, parse_name(request.name, 3), request.path
        ):
            yield message

    async def WatchChanges(
        self, request: pb.WatchChangesRequest, context: Context
    ) -> AsyncGenerator[pb.WatchChangesResponse]:
        async for message in watch_changes(self._parts.changes, request.start_revision, list(request.kinds)):
            yield message

    async def _study(self, name: Name) -> storage_pb2.Study:
        return resources.study(await self._parts.database.read(lambda connection: live_study(connection, name)))

    async def _page(
        self,
        level: int,
        request: pb.SearchStudiesRequest | pb.SearchSeriesRequest | pb.SearchInstancesRequest,
        *,
        parent: Name | None = None,
        oldest_first: bool = False,
    ) -> Page:
        search = Search(
            level,
            parent,
            tuple((key.keyword, key.value) for key in request.keys),
            page_size(request.page_size),
            request.page_token,
            skip=request.skip,
            count_up_to=request.count_up_to,
            oldest_first=oldest_first,
            separate_date_and_time=request.separate_date_and_time,
        )
        return await self._parts.database.read(lambda connection: run_search(connection, search))


def _parent(name: str, *levels: int) -> Name | None:
    return parse_name(name, *levels) if name else None


def _renderer() -> Callable[..., AsyncGenerator[bytes]]:
    from storage_svc.retrieve.pictures import render_frames  # by pydicom, which is large: not before it is needed

    return render_frames
