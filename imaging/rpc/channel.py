"""The one place where channels are made: limits, credentials, deadlines, retries, trace context."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc
from google.protobuf.descriptor import FileDescriptor

from imaging.analysis.v1 import analysis_service_pb2
from imaging.errors import SettingsInvalid
from imaging.gateway.v1 import gateway_service_pb2
from imaging.pipeline.v1 import pipeline_service_pb2
from imaging.processing.v1 import processing_service_pb2
from imaging.reporting.v1 import reporting_service_pb2
from imaging.rpc.call_details import with_metadata, with_timeout
from imaging.rpc.client_span import client_spans
from imaging.rpc.connection_settings import ChannelSettings
from imaging.rpc.deadline import DEFAULT_UNARY, remaining_seconds
from imaging.rpc.loopback import is_loopback, split_address
from imaging.storage.v1 import storage_admin_service_pb2, storage_service_pb2

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""Both ways. A chunk holds at most 1 MiB, a whole small instance or frame at most 3.5 MiB."""


def open_channel(
    target: str, settings: ChannelSettings | None = None, *, options: Sequence[tuple[str, Any]] = ()
) -> grpc.aio.Channel:
    """An aio channel to `host:port`, or to several of them with commas between. Its owner closes it.

    Calls go to all replicas in turn: those in `target`, or those whose addresses its name has. One that ends tells so,
    and calls that it has not begun go to another.

    Calls with one answer get a default deadline of 30 s (or what remains of the caller's) and are tried again, at most
    three times, while the service is UNAVAILABLE, or when it has CANCELLED them: every such RPC of the contracts is
    idempotent. Streams are resumed by their callers, who know from where.

    Raises
    ------
    SettingsInvalid
        The token would travel readable by others.
    """
    settings = settings or ChannelSettings()
    if settings.token and settings.ca_file is None and not (is_loopback(target) or settings.token_in_plain_text):
        raise SettingsInvalid(
            "The token would travel in plain text to another machine",
            where=target,
            hint="Set security.ca_file, so that TLS is used, or security.insecure where something between does TLS.",
        )
    interceptors: list[grpc.aio.ClientInterceptor] = [DeadlineOfUnaryCalls(), *client_spans()]
    if settings.token:
        interceptors = [*_bearer(settings.token), *interceptors]
    all_options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
        # Without it two channels of one process share a connection, hence one worker behind a balanced port.
        ("grpc.use_local_subchannel_pool", 1),
        # A restarted service is found again in a second instead of after minutes of backoff.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # A name is looked up again when a connection ends, at most so often.
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        ("grpc.service_config", _SERVICE_CONFIG),
        *options,
    ]
    if settings.ca_file is not None:
        if settings.server_name:
            all_options.append(("grpc.ssl_target_name_override", settings.server_name))
        credentials = grpc.ssl_channel_credentials(settings.ca_file.read_bytes())
        return grpc.aio.secure_channel(_uri(target), credentials, all_options, interceptors=interceptors)
    return grpc.aio.insecure_channel(_uri(target), all_options, interceptors=interceptors)


def _uri(target: str) -> str:
    """`target` as gRPC names it; several addresses are of IP, of one version."""
    if "," not in target:
        return target
    return f"{'ipv6' if ':' in split_address(target.partition(',')[0])[0] else 'ipv4'}:{target}"


class DeadlineOfUnaryCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives a call without a deadline what remains of the one being served, or the default."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """The call, with a deadline."""
        if client_call_details.timeout is None:
            remaining = remaining_seconds()
            default = DEFAULT_UNARY.total_seconds()
            timeout = default if remaining is None else min(default, remaining)
            client_call_details = with_timeout(client_call_details, timeout)
        return await continuation(client_call_details, request)


def _bearer(token: str) -> list[grpc.aio.ClientInterceptor]:
    header = {"authorization": f"Bearer {token}"}

    async def intercept(
        _: Any, continuation: Callable[..., Awaitable[Any]], details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(with_metadata(details, header), request)

    kinds = {
        grpc.aio.UnaryUnaryClientInterceptor: "intercept_unary_unary",
        grpc.aio.UnaryStreamClientInterceptor: "intercept_unary_stream",
        grpc.aio.StreamUnaryClientInterceptor: "intercept_stream_unary",
        grpc.aio.StreamStreamClientInterceptor: "intercept_stream_stream",
    }
    return [type("Bearer", (kind,), {name: intercept})() for kind, name in kinds.items()]


def _service_config() -> str:
    files: list[FileDescriptor] = [
        storage_service_pb2.DESCRIPTOR,
        storage_admin_service_pb2.DESCRIPTOR,
        processing_service_pb2.DESCRIPTOR,
        analysis_service_pb2.DESCRIPTOR,
        reporting_service_pb2.DESCRIPTOR,
        pipeline_service_pb2.DESCRIPTOR,
        gateway_service_pb2.DESCRIPTOR,
    ]
    names = [
        {"service": service.full_name, "method": method.name}
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
        if not method.client_streaming and not method.server_streaming
    ]
    retry = {
        "maxAttempts": 4,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        # CANCELLED is what becomes of a call that comes at a server in the moment in which this ends.
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    # The throttle keeps a crowd of retrying clients from holding an overloaded server down.
    throttle = {"maxTokens": 10, "tokenRatio": 0.1}
    return json.dumps(
        {
            # Over all addresses that a name has, as a headless service of Kubernetes gives those of its replicas.
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": [{"name": names, "retryPolicy": retry}],
            "retryThrottling": throttle,
        }
    )


_SERVICE_CONFIG: Final = _service_config()
