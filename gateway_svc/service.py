"""The wiring of the gateway."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from gateway_svc.destinations import check_destinations
from gateway_svc.dimse.acceptors import Acceptors
from gateway_svc.dimse.ledger import keep_ledger
from gateway_svc.dimse.owed_reports import OwedReports
from gateway_svc.dimse.remote_aes import RemoteAes
from gateway_svc.dimse.report_delivery import ReportDelivery
from gateway_svc.http.server import HttpServer
from gateway_svc.schema import TABLES
from gateway_svc.sending.failed_sends import FailedSends
from gateway_svc.sending.resender import Resender
from gateway_svc.sending.sender import Sender
from gateway_svc.servicer import GatewayServicer
from gateway_svc.web_api.services import Services
from gateway_svc.web_app import web_app
from imaging.client.patience import Patience
from imaging.database import Database
from imaging.gateway.v1.gateway_service_pb2_grpc import add_GatewayServiceServicer_to_server
from imaging.rpc.server import RpcServer
from imaging.settings import Settings
from imaging.settings.database import database_access
from imaging.work.try_again import TryAgain

SERVICE: Final = "imaging.gateway.v1.GatewayService"

_DELIVERY_SECONDS: Final = 5.0


class GatewayService:
    """The running service: its database, gRPC server, doors to the world, and channels to the other services."""

    def __init__(self, settings: Settings) -> None:
        check_destinations(settings)
        self._services = Services(settings)
        self._database = Database.open(database_access(settings, "gateway"), TABLES)
        own = settings.gateway
        again = TryAgain(
            first_wait=timedelta(seconds=own.send_again_seconds), give_up_after=timedelta(hours=own.send_again_hours)
        )
        failed = FailedSends(self._database, again)
        sender = Sender(settings, self._services.storage, failed, Patience())
        self._resender = Resender(settings, self._services.storage, failed)
        self._owed = OwedReports(self._database)
        self._delivery = ReportDelivery(self._services.storage, RemoteAes(settings), self._owed)
        self._work: list[asyncio.Task[None]] = []
        self._servicer = GatewayServicer(settings, sender, self._resender, failed)
        self._server = RpcServer(
            settings.listen("gateway"),
            {SERVICE: lambda server: add_GatewayServiceServicer_to_server(self._servicer, server)},
        )
        listen = settings.listen_http()
        self._http = HttpServer(listen, web_app(settings, listen.token, self._services, self._servicer))
        self._acceptors = Acceptors(settings, lambda end: keep_ledger(end, self._owed, self._delivery.held))

    @property
    def http_port(self) -> int:
        """The port of DICOMweb and the web page, once started."""
        return self._http.port

    @property
    def dimse_port(self) -> int:
        """The port of DIMSE in plain text, once started."""
        return self._acceptors.ports[0]

    async def start(self) -> int:
        """Open the doors and serve; the port of gRPC."""
        port = await self._server.start(serving=False)
        await self._http.start()
        if not self._database.is_shared:
            await self._owed.release_all()
        self._acceptors.start()
        self._work = [
            asyncio.create_task(self._resender.run(), name="send-again"),
            asyncio.create_task(self._delivery.run(), name="commitment-reports"),
        ]
        await self._server.set_serving(True)
        return port

    async def stop(self, grace: timedelta) -> None:
        """Take no new requests, let running ones end within `grace`, then end what is left."""
        await self._server.set_serving(False)
        await asyncio.gather(self._servicer.drain(grace), self._http.stop(grace), self._acceptors.stop(grace))
        await self._end_work()
        await self._server.stop(timedelta(seconds=1))
        await self._services.close()
        await self._database.close()

    async def _end_work(self) -> None:
        """What is on its way to others is not broken off, if it does not take long."""
        self._resender.end()
        self._delivery.end()
        if self._work:
            await asyncio.wait(self._work, timeout=_DELIVERY_SECONDS)
            for work in self._work:
                work.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)


def build(settings: Settings) -> GatewayService:
    """The service, wired and not yet started.

    Raises
    ------
    SettingsInvalid
        If a destination names a file that is no good.
    FailedPrecondition, Unavailable
        If the database cannot be used.
    """
    return GatewayService(settings)
