"""The services that DICOMweb and the web page ask, by their contracts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imaging.analysis.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from imaging.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from imaging.reporting.v1.reporting_service_pb2_grpc import ReportingServiceStub
from imaging.rpc.channel import open_channel
from imaging.settings import ServiceName, Settings
from imaging.storage.v1.storage_service_pb2_grpc import StorageServiceStub

if TYPE_CHECKING:
    from imaging.analysis.v1.analysis_service_pb2_grpc import AnalysisServiceAsyncStub
    from imaging.client.stub import StorageStub
    from imaging.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceAsyncStub
    from imaging.reporting.v1.reporting_service_pb2_grpc import ReportingServiceAsyncStub

ASKED: tuple[ServiceName, ...] = ("storage", "processing", "analysis", "reporting", "pipeline")
"""All but the gateway itself, which tells by answering."""

HEALTH_SECONDS = 2.0
"""A service that does not tell its health within this time is told as one that does not answer."""


class Services:
    """Channels to the services, with the credentials of the installation."""

    def __init__(self, settings: Settings) -> None:
        how = settings.channel()
        self._channels = {name: open_channel(settings.address(name), how) for name in ASKED}
        self.storage: StorageStub = StorageServiceStub(self._channels["storage"])
        self.analysis: AnalysisServiceAsyncStub = AnalysisServiceStub(self._channels["analysis"])
        self.reporting: ReportingServiceAsyncStub = ReportingServiceStub(self._channels["reporting"])
        self.pipeline: PipelineServiceAsyncStub = PipelineServiceStub(self._channels["pipeline"])

    async def health(self, service: ServiceName, part: str = "") -> str:
        """`SERVING`, `NOT_SERVING`, or `UNREACHABLE`; of a service, or of a part that its health knows by name."""
        request = health_pb2.HealthCheckRequest(service=part)
        stub = health_pb2_grpc.HealthStub(self._channels[service])
        try:
            answer = await stub.Check(request, timeout=HEALTH_SECONDS)
        except grpc.RpcError:
            return "UNREACHABLE"
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    async def close(self) -> None:
        """Close the channels."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
