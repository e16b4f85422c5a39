"""The wiring of the processing service."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from imaging.client.storage import StorageClient
from imaging.processing.v1.processing_service_pb2_grpc import add_ProcessingServiceServicer_to_server
from imaging.rpc.channel import open_channel
from imaging.rpc.server import RpcServer
from imaging.settings import Settings
from processing_svc.servicer import ProcessingServicer

SERVICE: Final = "imaging.processing.v1.ProcessingService"


class ProcessingService:
    """The running service: its server, and the channel to storage."""

    def __init__(self, settings: Settings) -> None:
        self._channel = open_channel(settings.storage.address, settings.channel())
        self._storage = StorageClient(self._channel)
        self._servicer = ProcessingServicer(self._storage)
        self._server = RpcServer(
            settings.listen("processing"),
            {SERVICE: lambda server: add_ProcessingServiceServicer_to_server(self._servicer, server)},
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


def build(settings: Settings) -> ProcessingService:
    """The service, wired and not yet started."""
    return ProcessingService(settings)
