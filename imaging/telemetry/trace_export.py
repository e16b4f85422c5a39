"""Traces leave by OTLP when the standard OTEL_* variables name an endpoint; otherwise nothing is set up."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Final

from opentelemetry import trace

from imaging.telemetry.otlp import as_warning, check_protocol, flush_within, is_disabled, process_resource

FLUSH_SECONDS: Final = 1.0
"""So long a service that ends waits for its last spans to be taken."""


def export_traces(service: str) -> Callable[[], None]:
    """Set up the export of this process' spans under `service.name = imaging-<service>`; call the answer at exit.

    Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set; `OTEL_SDK_DISABLED=true`
    and `OTEL_TRACES_EXPORTER=none` turn it off as well. A collector that is down or slow costs nothing but spans, a
    warning in the log, and `FLUSH_SECONDS` at the end: the queue is bounded and drops.

    Raises
    ------
    SettingsInvalid
        If another protocol than gRPC is asked for: its spans would be lost without a word.
    """
    if not traces_endpoint(os.environ):
        return lambda: None
    # Imported here: a process without telemetry need not pay for the exporter.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter").addFilter(as_warning)
    # No shutdown by atexit, which would wait for a collector that hangs.
    provider = TracerProvider(resource=process_resource(service), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return flush_within(FLUSH_SECONDS, provider.shutdown, "flush-traces")


def traces_endpoint(env: Mapping[str, str]) -> str:
    """The collector that the standard OTEL_* variables name for traces; empty: they are off.

    Raises
    ------
    SettingsInvalid
        If another protocol than gRPC is asked for.
    """
    endpoint = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or ""
    if not endpoint or is_disabled(env) or env.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return ""
    check_protocol(env, "TRACES", "Traces")
    return endpoint
