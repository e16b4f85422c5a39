"""What traces, metrics and logs by OTLP have in common: the standard OTEL_* variables and who they are of."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from imaging.errors import SettingsInvalid

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource


def is_disabled(env: Mapping[str, str]) -> bool:
    """True if `OTEL_SDK_DISABLED` turns everything off."""
    return env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def is_asked_for(env: Mapping[str, str], signal: str, name: str) -> bool:
    """True if the variables ask for a signal (`METRICS`, `LOGS`) that does not leave by the common endpoint alone.

    Raises
    ------
    SettingsInvalid
        Another protocol than gRPC is asked for.
    """
    own = env.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    exporter = env.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    by_common = exporter == "otlp" and env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if is_disabled(env) or exporter == "none" or not (own or by_common):
        return False
    check_protocol(env, signal, name)
    return True


def check_protocol(env: Mapping[str, str], signal: str, name: str) -> None:
    """Pass if the variables of a signal (`TRACES`, `METRICS`, `LOGS`) ask for OTLP over gRPC, or for no protocol.

    Raises
    ------
    SettingsInvalid
        Another protocol is asked for: what is sent would be lost without a word.
    """
    for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if env.get(variable):
            if env[variable].strip().lower() != "grpc":
                raise SettingsInvalid(
                    f"{name} leave by OTLP over gRPC, not by {env[variable]}",
                    where=variable,
                    hint="Set it to grpc and name the gRPC port of the collector (4317 by custom).",
                )
            break


def process_resource(service: str) -> Resource:
    """Who the telemetry is of: `service.name = imaging-<service>`, version and process."""
    from opentelemetry.sdk.resources import Resource

    return Resource.create(
        {
            "service.name": f"imaging-{service}",
            "service.version": metadata.version("imaging-pipeline"),
            "process.pid": os.getpid(),
        }
    )


def flush_within(seconds: float, close: Callable[[], object], name: str) -> Callable[[], None]:
    """A call of `close` that waits no longer than so: the process ends without it, should a collector hang."""

    def flush() -> None:
        flushing = threading.Thread(target=close, name=name, daemon=True)
        flushing.start()
        flushing.join(seconds)

    return flush


def as_warning(record: logging.LogRecord) -> bool:
    """A filter that makes errors of an exporter warnings: who watches a service's errors shall not be woken by them."""
    if record.levelno > logging.WARNING:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True
