"""All scripted services of a pipeline on servers of their own, which a test can take away and bring back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from imaging.analysis.v1 import analysis_service_pb2_grpc
from imaging.processing.v1 import processing_service_pb2_grpc
from imaging.reporting.v1 import reporting_service_pb2_grpc
from imaging.rpc.connection_settings import ListenSettings
from imaging.rpc.server import RpcServer
from imaging.storage.v1 import storage_service_pb2_grpc
from tests.pipeline.scripted_stages import ScriptedAnalysis, ScriptedProcessing, ScriptedReporting, ScriptedStages
from tests.pipeline.scripted_storage import ScriptedStorage


class Scripted:
    """All four services, each on its own server, which a test can stop and start again at the same port."""

    def __init__(self) -> None:
        self.storage = ScriptedStorage()
        self.stages = ScriptedStages()
        self.addresses: dict[str, str] = {}
        self._servers: dict[str, RpcServer] = {}

    async def start(self, name: str) -> None:
        """Start a service, at the port that it had."""
        add: dict[str, tuple[str, Callable[[Any], None]]] = {
            "storage": (
                "imaging.storage.v1.StorageService",
                lambda server: storage_service_pb2_grpc.add_StorageServiceServicer_to_server(self.storage, server),
            ),
            "processing": (
                "imaging.processing.v1.ProcessingService",
                lambda server: processing_service_pb2_grpc.add_ProcessingServiceServicer_to_server(
                    ScriptedProcessing(self.stages), server
                ),
            ),
            "analysis": (
                "imaging.analysis.v1.AnalysisService",
                lambda server: analysis_service_pb2_grpc.add_AnalysisServiceServicer_to_server(
                    ScriptedAnalysis(self.stages), server
                ),
            ),
            "reporting": (
                "imaging.reporting.v1.ReportingService",
                lambda server: reporting_service_pb2_grpc.add_ReportingServiceServicer_to_server(
                    ScriptedReporting(self.stages), server
                ),
            ),
        }
        full_name, add_servicer = add[name]
        address = self.addresses.get(name, "127.0.0.1:0")
        server = RpcServer(ListenSettings(address), {full_name: add_servicer})
        self.addresses[name] = f"127.0.0.1:{await server.start()}"
        self._servers[name] = server

    async def stop(self, name: str) -> None:
        """Take a service away at once, as a kill does: its calls break."""
        await self._servers.pop(name).stop(timedelta(0))

    async def stop_all(self) -> None:
        """End everything."""
        await self.stages.work.drain(timedelta(0))
        for name in list(self._servers):
            await self.stop(name)


@asynccontextmanager
async def scripted_services() -> AsyncIterator[Scripted]:
    """The four services, started."""
    scripted = Scripted()
    for name in ("storage", "processing", "analysis", "reporting"):
        await scripted.start(name)
    try:
        yield scripted
    finally:
        await scripted.stop_all()
