"""A client span for each call made; the current trace context travels with the call as `traceparent`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from imaging.rpc.call_details import with_metadata
from imaging.rpc.credentials import HEALTH_SERVICE

_PROPAGATOR = TraceContextTextMapPropagator()

Continuation = Callable[..., Awaitable[Any]]


class UnaryUnarySpan(grpc.aio.UnaryUnaryClientInterceptor):
    """One request, one answer."""

    async def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """The call, inside its span."""
        return await _traced(continuation, client_call_details, request)


class UnaryStreamSpan(grpc.aio.UnaryStreamClientInterceptor):
    """One request, many answers."""

    async def intercept_unary_stream(
        self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """The call, inside its span."""
        return await _traced(continuation, client_call_details, request)


class StreamUnarySpan(grpc.aio.StreamUnaryClientInterceptor):
    """Many requests, one answer."""

    async def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        """The call, inside its span."""
        return await _traced(continuation, client_call_details, request_iterator)


class StreamStreamSpan(grpc.aio.StreamStreamClientInterceptor):
    """Many requests, many answers."""

    async def intercept_stream_stream(
        self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        """The call, inside its span."""
        return await _traced(continuation, client_call_details, request_iterator)


def client_spans() -> list[grpc.aio.ClientInterceptor]:
    """The four interceptors; grpc takes one kind of call an object."""
    return [UnaryUnarySpan(), UnaryStreamSpan(), StreamUnarySpan(), StreamStreamSpan()]


async def _traced(continuation: Continuation, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
    # grpc hands bytes over, whatever its stubs say.
    method = bytes(details.method).decode() if not isinstance(details.method, str) else details.method
    service, _, name = method.lstrip("/").partition("/")
    if service == HEALTH_SERVICE:
        return await continuation(details, request)
    span = trace.get_tracer("imaging.rpc").start_span(
        f"{service}/{name}",
        kind=SpanKind.CLIENT,
        attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
    )
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context=trace.set_span_in_context(span))
    try:
        call = await continuation(with_metadata(details, carrier), request)
    except BaseException as error:
        span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        span.end()
        raise
    # The span ends with the call, whoever reads the answers, and however far they are read.
    call.add_done_callback(lambda _: span.end())
    return call
