"""Traces leave by OTLP when the standard OTEL_* variables name an endpoint; otherwise nothing is set up."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import metadata

from opentelemetry import trace


def export_traces(service: str) -> Callable[[], None]:
    """Set up the export of this process' spans under `service.name = imaging-<service>`; call the answer at exit.

    Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set; `OTEL_SDK_DISABLED=true`
    turns it off as well. A collector that is down or slow costs nothing but spans: the queue is bounded and drops.
    """
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return lambda: None
    # Imported here: a process without telemetry need not pay for the exporter.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create(
        {
            "service.name": f"imaging-{service}",
            "service.version": metadata.version("imaging-pipeline"),
            "process.pid": os.getpid(),
        }
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown
