"""What traces and metrics that leave by OTLP have in common: the standard OTEL_* variables and who they are of."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from imaging.errors import SettingsInvalid

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource


def is_disabled(env: Mapping[str, str]) -> bool:
    """True if `OTEL_SDK_DISABLED` turns everything off."""
    return env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def check_protocol(env: Mapping[str, str], signal: str, name: str) -> None:
    """Pass if the variables of a signal (`TRACES`, `METRICS`) ask for OTLP over gRPC, or for no protocol.

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


def as_warning(record: logging.LogRecord) -> bool:
    """A filter that makes errors of an exporter warnings: who watches a service's errors shall not be woken by them."""
    if record.levelno > logging.WARNING:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True
