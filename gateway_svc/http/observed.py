"""What is told of a request: a span, a duration by route and status, a log line. Never its query."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from gateway_svc.http.exchange import Exchange
from imaging.rpc.tracing import context_of
from imaging.telemetry.durations import SECONDS

_log = logging.getLogger(__name__)


class Observer:
    """Observes the requests of one app."""

    def __init__(self) -> None:
        self._durations = metrics.get_meter("imaging").create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Time that requests took, by method, route and status.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._tracer = trace.get_tracer("imaging.http")
        self._attributes: dict[tuple[str, str, int], dict[str, str]] = {}

    @contextmanager
    def observe(self, exchange: Exchange) -> Iterator[None]:
        """Serve the request inside; `exchange.route` and `status` are read at the end."""
        began = time.perf_counter()
        with self._tracer.start_as_current_span(
            exchange.method,
            context=context_of(exchange.header(b"traceparent")),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            finally:
                seconds, status = time.perf_counter() - began, exchange.status
                attributes = self._attributes_of(exchange.method, exchange.route, status)
                self._durations.record(seconds, attributes)
                if span.is_recording():
                    span.update_name(f"{exchange.method} {exchange.route}")
                    span.set_attributes(attributes)
                    if status >= 500 or not status:
                        span.set_status(Status(StatusCode.ERROR))
                level = logging.WARNING if status >= 500 else logging.DEBUG if status < 400 else logging.INFO
                if _log.isEnabledFor(level):
                    _log.log(level, "request", extra={**attributes, "milliseconds": round(seconds * 1000, 1)})

    def _attributes_of(self, method: str, route: str, status: int) -> dict[str, str]:
        key = (method, route, status)
        found = self._attributes.get(key)
        if found is None:
            found = {"http.request.method": method, "http.route": route, "http.response.status_code": str(status)}
            self._attributes[key] = found
        return found
