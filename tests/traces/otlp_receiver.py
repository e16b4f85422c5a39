"""An OTLP receiver in the test process: what arrives here is what a collector would get, on the wire format."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it was exported."""

    service: str
    """`service.name` of the process that made it."""

    name: str
    trace_id: str
    span_id: str
    parent_span_id: str
    links: tuple[str, ...]
    """Trace ids that it links to."""

    attributes: dict[str, str]
    start_ns: int
    """Nanoseconds since 1970, as its end."""

    end_ns: int


@dataclass(frozen=True, slots=True)
class ReceivedLine:
    """A line of a log as it was exported."""

    service: str
    severity: str
    trace_id: str
    """Empty outside of any span."""

    body: str


class _LogsReceiver(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, lines: list[ReceivedLine]) -> None:
        self._lines = lines

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_logs:
            facts = {item.key: item.value.string_value for item in resource.resource.attributes}
            self._lines.extend(
                ReceivedLine(facts["service.name"], line.severity_text, line.trace_id.hex(), line.body.string_value)
                for scope in resource.scope_logs
                for line in scope.log_records
            )
        return logs_service_pb2.ExportLogsServiceResponse()


class OtlpReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Collects spans, and lines of logs."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.lines: list[ReceivedLine] = []
        self.port = 0

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            facts = {item.key: item.value.string_value for item in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans.extend(
                    ReceivedSpan(
                        facts["service.name"],
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        tuple(link.trace_id.hex() for link in span.links),
                        {item.key: item.value.string_value for item in span.attributes},
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                    )
                    for span in scope.spans
                )
        return trace_service_pb2.ExportTraceServiceResponse()

    def edges(self) -> set[tuple[str, str]]:
        """Pairs (service of the parent span, service of the child span), each only where the services differ."""
        by_id = {span.span_id: span for span in self.spans}
        return {
            (by_id[span.parent_span_id].service, span.service)
            for span in self.spans
            if span.parent_span_id in by_id and by_id[span.parent_span_id].service != span.service
        }

    async def wait_for_edges(self, expected: set[tuple[str, str]], seconds: float) -> set[tuple[str, str]]:
        """The expected edges that have not arrived after at most `seconds`; spans come in batches."""
        for _ in range(int(seconds * 10)):
            if expected <= self.edges():
                break
            await asyncio.sleep(0.1)
        return expected - self.edges()


@asynccontextmanager
async def otlp_receiver() -> AsyncIterator[OtlpReceiver]:
    """A receiver on a free port of the loopback address."""
    receiver = OtlpReceiver()
    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(_LogsReceiver(receiver.lines), server)
    receiver.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield receiver
    finally:
        await server.stop(0)
