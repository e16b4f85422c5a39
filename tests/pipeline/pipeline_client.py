"""A running pipeline service and its contract's client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imaging.pipeline.v1 import pipeline_pb2, pipeline_service_pb2, pipeline_service_pb2_grpc
from imaging.rpc.channel import open_channel
from imaging.rpc.status import domain_errors
from pipeline_svc.service import PipelineService

ENDED = (
    pipeline_pb2.STATE_SUCCEEDED,
    pipeline_pb2.STATE_FAILED,
    pipeline_pb2.STATE_CANCELLED,
    pipeline_pb2.STATE_SKIPPED,
)


class PipelineClient:
    """Calls of `imaging.pipeline.v1`, with domain errors."""

    def __init__(self, service: PipelineService, channel: grpc.aio.Channel, address: str) -> None:
        self.service = service
        self.address = address
        self._channel = channel
        self._is_stopped = False
        self._stub: Any = pipeline_service_pb2_grpc.PipelineServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)

    @classmethod
    async def start(cls, service: PipelineService) -> PipelineClient:
        port = await service.start()
        return cls(service, open_channel(f"127.0.0.1:{port}"), f"127.0.0.1:{port}")

    async def stop(self) -> None:
        """May be called twice."""
        if self._is_stopped:
            return
        self._is_stopped = True
        await self._channel.close()
        await self.service.stop(timedelta(seconds=5))

    async def is_serving(self) -> bool:
        response = await self._health.Check(health_pb2.HealthCheckRequest())
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    async def wait_until_serving(self) -> None:
        """Watches health until it says SERVING."""
        async for response in self._health.Watch(health_pb2.HealthCheckRequest()):
            if response.status == health_pb2.HealthCheckResponse.SERVING:
                return

    async def call(self, method: str, **fields: Any) -> Any:
        with domain_errors():
            request = getattr(pipeline_service_pb2, f"{method}Request")(**fields)
            return await getattr(self._stub, method)(request)

    async def runs(self, study: str = "") -> list[pipeline_pb2.Run]:
        """Newest first."""
        return list((await self.call("ListRuns", study=study)).runs)

    async def run_of(self, study: str, manifest_version: int = 1, besides: Collection[str] = ()) -> pipeline_pb2.Run:
        """The first run of a manifest version that is none of `besides`, waited for."""
        while True:
            for run in reversed(await self.runs(study)):
                if run.manifest_version == manifest_version and run.name not in besides:
                    return run
            await asyncio.sleep(0.01)

    async def watch_until(
        self, name: str, condition: Callable[[pipeline_pb2.Run], bool] = lambda run: run.state in ENDED
    ) -> pipeline_pb2.Run:
        """The run as soon as the condition holds, by default when it has ended."""
        with domain_errors():
            async for response in self._stub.WatchRun(pipeline_service_pb2.WatchRunRequest(name=name)):
                if condition(response.run):
                    return response.run  # type: ignore[no-any-return]  # the stub is untyped here
        raise AssertionError("the watch ended before the condition held")

    async def ended_run_of(self, study: str, manifest_version: int = 1) -> pipeline_pb2.Run:
        """The first run of a manifest version, when it has ended."""
        return await self.watch_until((await self.run_of(study, manifest_version)).name)


Start = Callable[..., Awaitable[PipelineClient]]
"""Starts a pipeline service with the settings given, as the fixture `start_pipeline` does."""
