"""Trace context across every hop: a server span for each call served (for calls made: `client_span.py`).

The contrib instrumentation iterates streams and leaves spans open when a client goes away; this does neither. A stream
gets one span, however many messages it has. Health checks get none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from imaging.rpc.around import Call
from imaging.rpc.credentials import HEALTH_SERVICE

_PROPAGATOR = TraceContextTextMapPropagator()


def traceparent_of_current_span() -> str:
    """The W3C `traceparent` of the current span; empty without one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


def context_of(traceparent: str) -> otel_context.Context:
    """The OpenTelemetry context that a W3C `traceparent` names; an empty one for an empty or malformed text."""
    return _PROPAGATOR.extract({"traceparent": traceparent} if traceparent else {})


@asynccontextmanager
async def server_span(call: Call) -> AsyncIterator[None]:
    """Serve the call inside a span that is a child of the caller's."""
    if call.service == HEALTH_SERVICE:
        yield
        return
    parent = context_of(call.metadata("traceparent") or "")
    tracer = trace.get_tracer("imaging.rpc")
    with tracer.start_as_current_span(
        call.method.lstrip("/"),
        context=parent,
        kind=SpanKind.SERVER,
        attributes={"rpc.system": "grpc", "rpc.service": call.service, "rpc.method": call.name},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except asyncio.CancelledError:
            span.set_attribute("error.type", "CANCELLED")
            raise
