"""The wiring of the analysis service."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from analysis_svc.analyze_series import SeriesAnalysis
from analysis_svc.findings import FindingsTable
from analysis_svc.registry import ModelRegistry
from analysis_svc.servicer import AnalysisServicer
from imaging.analysis.v1.analysis_service_pb2_grpc import add_AnalysisServiceServicer_to_server
from imaging.client.storage import StorageClient
from imaging.rpc.channel import open_channel
from imaging.rpc.server import RpcServer
from imaging.settings import Settings
from imaging.settings.database import database_access

SERVICE: Final = "imaging.analysis.v1.AnalysisService"


class AnalysisService:
    """The running service: its server, its findings, and the channel to storage."""

    def __init__(self, settings: Settings, registry: ModelRegistry) -> None:
        self._findings = FindingsTable.open(database_access(settings, "analysis"))
        self._channel = open_channel(settings.storage.address, settings.channel())
        self._storage = StorageClient(self._channel)
        limit = timedelta(minutes=settings.analysis.model_time_limit_minutes)
        self._servicer = AnalysisServicer(
            registry, SeriesAnalysis(self._storage, self._findings, limit), self._findings
        )
        self._server = RpcServer(
            settings.listen("analysis"),
            {SERVICE: lambda server: add_AnalysisServiceServicer_to_server(self._servicer, server)},
        )

    async def start(self) -> int:
        """Serve; the port."""
        return await self._server.start()

    async def stop(self, grace: timedelta) -> None:
        """Take no new work, let running work end within `grace`, then end what is left."""
        await self._server.set_serving(False)
        await self._servicer.drain(grace)
        await self._server.stop(timedelta(seconds=1))
        await self._storage.close()
        await self._channel.close()
        await self._findings.close()


def build(settings: Settings) -> AnalysisService:
    """The service, wired and not yet started.

    Raises
    ------
    FailedPrecondition
        If two packages bring a model of the same name, or the database cannot be used.
    """
    return AnalysisService(settings, ModelRegistry.discover(settings.analysis.onnx_models_dir))
