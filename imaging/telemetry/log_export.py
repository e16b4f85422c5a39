"""Logs leave by OTLP as well if the OTEL_* variables ask for it: the same JSON lines, each with its trace."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from opentelemetry import context

from imaging.telemetry.json_log import JsonFormatter, is_ours
from imaging.telemetry.otlp import as_warning, flush_within, is_asked_for, process_resource

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider

FLUSH_SECONDS: Final = 1.0
"""So long a service that ends waits for its last lines to be taken."""


def export_logs(service: str) -> Callable[[], None]:
    """Send what this process logs by OTLP too, under `service.name = imaging-<service>`; call the answer at exit.

    Needs `OTEL_LOGS_EXPORTER=otlp` or an `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`: many collectors take traces alone. After
    `log_to_stderr`, whose lines stay. A collector that is down or slow costs lines there, none on standard error.

    Raises
    ------
    SettingsInvalid
        Another OTLP protocol than gRPC is asked for.
    """
    if not is_asked_for(os.environ, "LOGS", "Logs"):
        return lambda: None
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter").addFilter(as_warning)
    provider = LoggerProvider(resource=process_resource(service), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    handler = _ToCollector(provider, service)
    logging.getLogger().addHandler(handler)

    def close() -> None:
        logging.getLogger().removeHandler(handler)
        provider.shutdown()

    return flush_within(FLUSH_SECONDS, close, "flush-logs")


class _ToCollector(logging.Handler):
    """Gives each record to OpenTelemetry, its JSON line as the body: a query fits a file and a log store alike."""

    def __init__(self, provider: LoggerProvider, service: str) -> None:
        super().__init__()
        self._logger = provider.get_logger("imaging")
        self.setFormatter(JsonFormatter(service))
        self.addFilter(is_ours)
        self.addFilter(_is_of_no_exporter)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; it never waits for the collector."""
        from opentelemetry._logs import LogRecord, SeverityNumber

        try:
            self._logger.emit(
                LogRecord(
                    timestamp=int(record.created * 1e9),
                    context=context.get_current(),
                    severity_text=record.levelname,
                    severity_number=SeverityNumber(min(max(record.levelno, 10), 50) // 10 * 4 + 1),
                    body=self.format(record),
                )
            )
        except Exception:  # noqa: BLE001 - as every handler: who logs must not fail for it
            self.handleError(record)


def _is_of_no_exporter(record: logging.LogRecord) -> bool:
    # That a collector does not answer shall not wait in the queue to it.
    return record.name.partition(".")[0] != "opentelemetry"
