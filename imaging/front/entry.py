"""What Traefik is told once, at its start: where to listen, how long to wait, what to write down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from imaging.settings import Settings
from imaging.telemetry.trace_export import traces_endpoint

ENTRY: Final = "front"
"""Name of the entry point."""

LOGGED: Final = (
    "ClientHost", "DownstreamContentSize", "DownstreamStatus", "Duration", "OriginStatus", "RequestContentSize",
    "RequestMethod", "RequestProtocol", "RouterName", "StartUTC", "TraceId",
)  # fmt: skip
"""Fields of an access log line. The path is none of them: a query may hold names, and the router tells the area."""


def entry(settings: Settings, routes_file: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The static configuration.

    Parameters
    ----------
    routes_file
        Where the routes are; they are read again when they change.
    env
        For the standard OTEL_* variables.
    """
    listening: dict[str, Any] = {
        "address": settings.front.address,
        "transport": {
            # An upload may take hours: only one that stands still is ended, by the service that it goes to.
            "respondingTimeouts": {"readTimeout": 0, "writeTimeout": 0, "idleTimeout": "180s"},
            "lifeCycle": {"requestAcceptGraceTimeout": 0, "graceTimeOut": "3s"},
        },
    }
    if certificate_of_front(settings) is not None:
        listening["http"] = {"tls": {}}
    told: dict[str, Any] = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {ENTRY: listening},
        "providers": {"file": {"filename": str(routes_file), "watch": True}},
        # Its warnings are one a refused request, which the access log tells anyway.
        "log": {"level": "ERROR", "format": "json"},
        "accessLog": {
            "format": "json",
            "fields": {
                "defaultMode": "drop",
                "names": dict.fromkeys(LOGGED, "keep"),
                "headers": {"defaultMode": "drop"},
            },
        },
    }
    collector = traces_endpoint(env)
    if collector:
        told["tracing"] = {"serviceName": "imaging-front", "otlp": {"grpc": _collector(collector)}}
    return told


def certificate_of_front(settings: Settings) -> tuple[Path, Path] | None:
    """Chain and key of the one port: its own, or those of the services; None: plain text."""
    for section in (settings.front, settings.security):
        if section.certificate_file is not None and section.key_file is not None:
            return section.certificate_file, section.key_file
    return None


def _collector(url: str) -> dict[str, Any]:
    scheme, colon, rest = url.partition("://")
    address = (rest if colon else url).rstrip("/")
    return {"endpoint": address, "insecure": scheme != "https"}
