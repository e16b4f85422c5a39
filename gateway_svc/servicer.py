"""The gRPC face of the gateway: requests in, domain functions called, answers out."""

from __future__ import annotations

import grpc

from gateway_svc.destinations import destination_messages
from imaging.gateway.v1 import gateway_service_pb2, gateway_service_pb2_grpc
from imaging.settings.gateway import GatewaySettings

Context = grpc.aio.ServicerContext[object, object]


class GatewayServicer(gateway_service_pb2_grpc.GatewayServiceServicer):
    """Serves `imaging.gateway.v1.GatewayService`."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings

    async def ListDestinations(
        self, request: gateway_service_pb2.ListDestinationsRequest, context: Context
    ) -> gateway_service_pb2.ListDestinationsResponse:
        """The destinations of the settings."""
        return gateway_service_pb2.ListDestinationsResponse(
            destinations=destination_messages(self._settings.destinations)
        )
