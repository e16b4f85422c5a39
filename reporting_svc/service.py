"""The wiring of the reporting service."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from imaging.analysis.v1 import analysis_service_pb2_grpc
from imaging.client.storage import StorageClient
from imaging.reporting.v1.reporting_service_pb2_grpc import add_ReportingServiceServicer_to_server
from imaging.rpc.channel import open_channel
from imaging.rpc.server import RpcServer
from imaging.settings import Settings
from imaging.settings.database import database_access
from reporting_svc.create_report import ReportMaker
from reporting_svc.finalizations import Finalizations
from reporting_svc.finalize_report import ReportFinalizer
from reporting_svc.report_table import ReportTable
from reporting_svc.servicer import ReportingServicer

SERVICE: Final = "imaging.reporting.v1.ReportingService"


class ReportingService:
    """The running service: its server, its reports, and the channels to storage and analysis."""

    def __init__(self, settings: Settings) -> None:
        self._table = ReportTable.open(database_access(settings, "reporting"))
        self._storage_channel = open_channel(settings.storage.address, settings.channel())
        self._analysis_channel = open_channel(settings.analysis.address, settings.channel())
        self._storage = StorageClient(self._storage_channel)
        analysis: analysis_service_pb2_grpc.AnalysisServiceAsyncStub = analysis_service_pb2_grpc.AnalysisServiceStub(
            self._analysis_channel
        )
        finalizer = ReportFinalizer(self._storage, self._table, Finalizations(self._table.database))
        self._servicer = ReportingServicer(ReportMaker(self._storage, analysis, self._table), self._table, finalizer)
        self._server = RpcServer(
            settings.listen("reporting"),
            {SERVICE: lambda server: add_ReportingServiceServicer_to_server(self._servicer, server)},
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
        await self._storage_channel.close()
        await self._analysis_channel.close()
        await self._table.close()


def build(settings: Settings) -> ReportingService:
    """The service, wired and not yet started.

    Raises
    ------
    FailedPrecondition
        If the database cannot be used.
    """
    return ReportingService(settings)
