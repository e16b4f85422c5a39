"""The one place where servers are made: limits, errors, traces, metrics, credentials, health, reflection, drain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from imaging.errors import Unavailable
from imaging.rpc.admission import admission
from imaging.rpc.around import Around, AroundEveryCall
from imaging.rpc.call_errors import typed_errors
from imaging.rpc.call_metrics import call_metrics
from imaging.rpc.channel import MAX_MESSAGE_BYTES
from imaging.rpc.connection_settings import ListenSettings
from imaging.rpc.credentials import bearer_token
from imaging.rpc.deadline import deadline
from imaging.rpc.tracing import server_span

MAX_CONCURRENT_RPCS: Final = 512
"""More are shed at once with RESOURCE_EXHAUSTED; watches count too, health checks do not."""

LIVENESS: Final = "liveness"
"""A name that health knows besides those of the services: SERVING as long as the process can answer at all."""


class RpcServer:
    """A grpc.aio server with everything that each of our servers has.

    Parameters
    ----------
    listen
        Where and how.
    services
        Full name of each gRPC service (`imaging.storage.v1.StorageService`) and what adds its servicer to a server.
    max_concurrent_rpcs
        See `MAX_CONCURRENT_RPCS`.
    """

    def __init__(
        self,
        listen: ListenSettings,
        services: Mapping[str, Callable[[grpc.aio.Server], None]],
        *,
        max_concurrent_rpcs: int = MAX_CONCURRENT_RPCS,
    ) -> None:
        self._listen = listen
        # Outermost first: what `typed_errors` logs carries the trace id, and errors of all that follows are typed.
        arounds: list[Around] = [call_metrics(), server_span, typed_errors, admission(max_concurrent_rpcs), deadline]
        if listen.token:
            arounds.insert(3, bearer_token(listen.token))
        self._server = grpc.aio.server(
            interceptors=[AroundEveryCall(*arounds)],
            options=_OPTIONS,
            # The last resort, without a typed error: room for health checks and for those that are being shed.
            maximum_concurrent_rpcs=2 * max_concurrent_rpcs,
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for add in services.values():
            add(self._server)
        self._probed = grpc.aio.server(options=_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probed)
        self._names = list(services)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        self.port = 0

    async def start(self, *, serving: bool = True) -> int:
        """Bind and serve; the port. With `serving=False` health says NOT_SERVING until `set_serving(True)`.

        Raises
        ------
        Unavailable
            The address cannot be bound.
        """
        self.port = self._bind(self._listen.address, self._bind_calls)
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self.set_serving(serving)
        await self._server.start()
        if self._listen.health_address:
            self._bind(self._listen.health_address, self._probed.add_insecure_port)
            await self._probed.start()
        return self.port

    async def set_serving(self, serving: bool) -> None:
        """Tell health checks whether this server takes work."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ["", *self._names]:
            await self._health.set(name, status)

    async def set_health(self, name: str, serving: bool) -> None:
        """Tell health checks about something else that this server does, by a name of its own."""
        states = health_pb2.HealthCheckResponse
        await self._health.set(name, states.SERVING if serving else states.NOT_SERVING)

    async def stop(self, grace: timedelta) -> None:
        """Take no new calls, let running ones end within `grace`, then cancel what is left."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace.total_seconds())
        await self._probed.stop(None)

    async def wait(self) -> None:
        """Wait until the server has stopped."""
        await self._server.wait_for_termination()

    @staticmethod
    def _bind(address: str, bind: Callable[[str], int]) -> int:
        try:
            return bind(address)
        except RuntimeError as error:
            raise Unavailable(
                "The address cannot be listened on",
                where=address,
                hint="Another process holds the port, or the host is not of this machine; choose another --port-base.",
            ) from error

    def _bind_calls(self, address: str) -> int:
        listen = self._listen
        if listen.certificate_file is None or listen.key_file is None:
            return self._server.add_insecure_port(address)
        pair = (listen.key_file.read_bytes(), listen.certificate_file.read_bytes())
        return self._server.add_secure_port(address, grpc.ssl_server_credentials([pair]))


_OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # gRPC takes more than two pings within five minutes of a watch on which nothing happens for an attack, and ends the
    # connection with all calls on it. Clients of ours ask each 30 s; a ping costs less than a call.
    ("grpc.http2.max_ping_strikes", 0),
    # Clients connect anew now and then, and so find replicas that came later; calls are not touched by it.
    ("grpc.max_connection_age_ms", 600_000),
    # A port that another process holds is an error to tell, not one to share.
    ("grpc.so_reuseport", 0),
]
