"""The gRPC face of the processing service: requests in, domain functions called, answers out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import grpc

from imaging.client.storage import StorageClient
from imaging.processing.v1 import processing_pb2, processing_service_pb2, processing_service_pb2_grpc
from imaging.stage.v1 import stage_pb2
from imaging.work import RequestWork
from processing_svc.process_frames import process_frames
from processing_svc.process_series import process_series
from processing_svc.render_frames import render_frames
from processing_svc.steps.registry import COPIES, STEPS

Result = processing_service_pb2.ProcessSeriesResponse.Result
Context = grpc.aio.ServicerContext[object, object]


class ProcessingServicer(processing_service_pb2_grpc.ProcessingServiceServicer):
    """Serves `imaging.processing.v1.ProcessingService`."""

    def __init__(self, storage: StorageClient) -> None:
        self._storage = storage
        self._work: RequestWork[Result] = RequestWork()

    async def drain(self, grace: timedelta) -> None:
        """Let running work end."""
        await self._work.drain(grace)

    async def GetCapabilities(
        self, request: processing_service_pb2.GetCapabilitiesRequest, context: Context
    ) -> processing_service_pb2.GetCapabilitiesResponse:
        """The steps with their parameter schemas."""
        steps = [
            processing_pb2.Step(
                name=step.name,
                version=step.version,
                description=step.description,
                parameters_schema=step.parameters_schema(),
            )
            for _, step in sorted({**STEPS, **COPIES}.items())
        ]
        return processing_service_pb2.GetCapabilitiesResponse(steps=steps)

    async def ProcessSeries(
        self, request: processing_service_pb2.ProcessSeriesRequest, context: Context
    ) -> AsyncIterator[processing_service_pb2.ProcessSeriesResponse]:
        """Progress, then the derived series."""
        work = self._work.attach(
            request.context.request_id, lambda report: process_series(self._storage, request, report)
        )
        async for update in work:
            if isinstance(update, stage_pb2.Progress):
                yield processing_service_pb2.ProcessSeriesResponse(progress=update)
            else:
                yield processing_service_pb2.ProcessSeriesResponse(result=update)

    async def CancelProcessing(
        self, request: processing_service_pb2.CancelProcessingRequest, context: Context
    ) -> processing_service_pb2.CancelProcessingResponse:
        """The work is ended."""
        self._work.cancel(request.request_id)
        return processing_service_pb2.CancelProcessingResponse()

    async def ProcessFrames(
        self, request_iterator: AsyncIterator[processing_service_pb2.ProcessFramesRequest], context: Context
    ) -> AsyncIterator[processing_service_pb2.ProcessFramesResponse]:
        """Each frame after the step."""
        async with aclosing(process_frames(request_iterator)) as answers:
            async for answer in answers:
                yield answer

    async def RenderFrames(
        self, request: processing_service_pb2.RenderFramesRequest, context: Context
    ) -> AsyncIterator[processing_service_pb2.RenderFramesResponse]:
        """The pictures of the frames, in order."""
        async with aclosing(render_frames(self._storage, request)) as pictures:
            async for picture in pictures:
                yield picture
