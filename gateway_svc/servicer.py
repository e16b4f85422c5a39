"""The gRPC face of the gateway: requests in, domain functions called, answers out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc

from gateway_svc.destinations import destination_messages, destination_of
from gateway_svc.sending.echo import echo
from gateway_svc.sending.failed_sends import FailedSends
from gateway_svc.sending.resender import Resender
from gateway_svc.sending.sender import Result, Sender
from imaging.errors import ImagingError
from imaging.gateway.v1 import gateway_service_pb2, gateway_service_pb2_grpc
from imaging.rpc.status import to_status
from imaging.settings import Settings
from imaging.stage.v1 import stage_pb2
from imaging.work import RequestWork

Context = grpc.aio.ServicerContext[object, object]


class GatewayServicer(gateway_service_pb2_grpc.GatewayServiceServicer):
    """Serves `imaging.gateway.v1.GatewayService`."""

    def __init__(self, settings: Settings, sender: Sender, resender: Resender, failed: FailedSends) -> None:
        self._settings = settings
        self._sender = sender
        self._resender = resender
        self._failed = failed
        # Who asks again after failures wants them to be sent, not to be told of once more.
        self._work: RequestWork[Result] = RequestWork(keep=lambda result: not result.failed_count)

    async def drain(self, grace: timedelta) -> None:
        """Let running work end."""
        await self._work.drain(grace)

    async def ListDestinations(
        self, request: gateway_service_pb2.ListDestinationsRequest, context: Context
    ) -> gateway_service_pb2.ListDestinationsResponse:
        """The destinations of the settings."""
        return gateway_service_pb2.ListDestinationsResponse(
            destinations=destination_messages(self._settings.gateway.destinations)
        )

    async def EchoDestination(
        self, request: gateway_service_pb2.EchoDestinationRequest, context: Context
    ) -> gateway_service_pb2.EchoDestinationResponse:
        """How a destination answered."""
        destination = destination_of(request.name, self._settings.gateway.destinations)
        response = gateway_service_pb2.EchoDestinationResponse()
        began = time.monotonic()
        try:
            await echo(destination, self._settings)
            response.status.SetInParent()
        except ImagingError as error:
            response.status.CopyFrom(to_status(error))
        response.round_trip.FromTimedelta(timedelta(seconds=time.monotonic() - began))
        return response

    async def SendInstances(
        self, request: gateway_service_pb2.SendInstancesRequest, context: Context
    ) -> AsyncIterator[gateway_service_pb2.SendInstancesResponse]:
        """Progress, then what was sent and what was not."""
        destination = destination_of(request.destination, self._settings.gateway.destinations)
        work = self._work.attach(
            request.context.request_id,
            lambda report: self._sender.send(request, destination, report),
        )
        async for update in work:
            if isinstance(update, stage_pb2.Progress):
                yield gateway_service_pb2.SendInstancesResponse(progress=update)
            else:
                yield gateway_service_pb2.SendInstancesResponse(result=update)

    async def CancelSending(
        self, request: gateway_service_pb2.CancelSendingRequest, context: Context
    ) -> gateway_service_pb2.CancelSendingResponse:
        """The work is ended."""
        self._work.cancel(request.request_id)
        return gateway_service_pb2.CancelSendingResponse()

    async def ListFailedSends(
        self, request: gateway_service_pb2.ListFailedSendsRequest, context: Context
    ) -> gateway_service_pb2.ListFailedSendsResponse:
        """A page of them, newest first."""
        found, token = await self._failed.page(request.destination, request.page_size, request.page_token)
        return gateway_service_pb2.ListFailedSendsResponse(failed_sends=found, next_page_token=token)

    async def RetryFailedSend(
        self, request: gateway_service_pb2.RetryFailedSendRequest, context: Context
    ) -> gateway_service_pb2.RetryFailedSendResponse:
        """Nothing if it was sent, else how it failed again."""
        return gateway_service_pb2.RetryFailedSendResponse(failed_send=await self._resender.retry(request.name))

    async def DropFailedSend(
        self, request: gateway_service_pb2.DropFailedSendRequest, context: Context
    ) -> gateway_service_pb2.DropFailedSendResponse:
        """It is tried no more."""
        await self._failed.drop(request.name)
        return gateway_service_pb2.DropFailedSendResponse()
