"""A collector that hangs costs a service a moment at its end; a protocol that we do not speak is refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from imaging.errors import SettingsInvalid
from imaging.telemetry.trace_export import export_traces

PROGRAM = """
import time
from opentelemetry import trace
from imaging.telemetry.json_log import log_to_stderr
from imaging.telemetry.trace_export import export_traces
log_to_stderr("storage", "INFO")
flush = export_traces("storage")
with trace.get_tracer("x").start_as_current_span("work"):
    pass
began = time.monotonic()
flush()
print(time.monotonic() - began)
"""


def _environment(**variables: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}, **variables}


def test_a_collector_that_hangs_does_not_hold_the_end_of_a_service_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = _environment(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        ended = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60)
        lifetime = time.monotonic() - began
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) < 3
    assert lifetime < 12, "the process ends without its last spans"
    levels = {json.loads(line)["level"] for line in ended.stderr.splitlines() if line.startswith("{")}
    assert levels <= {"INFO", "WARNING"}


def test_another_protocol_than_grpc_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with pytest.raises(SettingsInvalid, match=r"gRPC.*OTEL_EXPORTER_OTLP_PROTOCOL"):
        export_traces("storage")


@pytest.mark.parametrize(("variable", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_the_standard_variables_turn_traces_off(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv(variable, value)
    export_traces("storage")()
