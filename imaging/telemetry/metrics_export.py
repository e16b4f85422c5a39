"""Metrics of this process: a Prometheus endpoint if the settings name one, OTLP if the OTEL_* variables ask for it.

Label values are method names, operations, outcomes and states: sets that the code bounds, never what a caller sent.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics

from imaging.errors import Unavailable
from imaging.rpc.loopback import split_address
from imaging.telemetry.otlp import as_warning, flush_within, is_asked_for, process_resource

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader

FLUSH_SECONDS: Final = 1.0
"""So long a service that ends waits for its last metrics to be taken."""

_log = logging.getLogger(__name__)


def export_metrics(service: str, address: str = "") -> Callable[[], None]:
    """Set up the export of this process' metrics; call the answer at exit.

    Parameters
    ----------
    service
        Its name; `service.name` is `imaging-<service>`.
    address
        `host:port` on which `/metrics` is served, in plain http and to everybody who reaches it; port 0 takes a free
        one, which is logged. Empty: no endpoint. OTLP needs `OTEL_METRICS_EXPORTER=otlp` or an
        `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`: many collectors take traces alone.

    Raises
    ------
    Unavailable
        The address cannot be listened on.
    SettingsInvalid
        Another OTLP protocol than gRPC is asked for.
    """
    by_otlp = is_asked_for(os.environ, "METRICS", "Metrics")
    if not address and not by_otlp:
        return lambda: None
    from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider

    readers: list[MetricReader] = []
    closing: list[Callable[[], Any]] = []
    if address:
        readers.append(_prometheus(address, closing))
    if by_otlp:
        readers.append(_otlp())
    provider = MeterProvider(
        readers,
        resource=process_resource(service),
        exemplar_filter=AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
    )
    metrics.set_meter_provider(provider)
    closing.append(provider.shutdown)

    def close() -> None:
        for step in closing:
            step()

    return flush_within(FLUSH_SECONDS, close, "flush-metrics")


def _prometheus(address: str, closing: list[Callable[[], Any]]) -> MetricReader:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import start_http_server

    host, port = split_address(address)
    try:
        server, _ = start_http_server(port, host)
    except (OSError, OverflowError) as error:
        raise Unavailable(
            f"The metrics cannot be served there ({getattr(error, 'strerror', None) or error})",
            where=f"telemetry.metrics_address, {address}",
            hint="Another process holds the port, or the host is not of this machine; choose another, or leave it out.",
        ) from None
    _log.info("metrics", extra={"address": f"{host}:{server.server_port}"})
    closing.append(server.shutdown)
    return PrometheusMetricReader(scope_info_enabled=False)


def _otlp() -> MetricReader:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter").addFilter(as_warning)
    return PeriodicExportingMetricReader(OTLPMetricExporter())
