"""Logs that leave by OTLP are the lines of standard error, and only where they are asked for."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys

import pytest

from imaging.errors import SettingsInvalid
from imaging.telemetry.log_export import export_logs
from tests.traces.otlp_receiver import OtlpReceiver, otlp_receiver

PROGRAM = """
import logging
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from imaging.telemetry.json_log import log_to_stderr
from imaging.telemetry.log_export import export_logs
log_to_stderr("storage", "INFO")
flush = export_logs("storage")
trace.set_tracer_provider(TracerProvider())
log = logging.getLogger("storage_svc.example")
with trace.get_tracer("x").start_as_current_span("work"):
    log.info("a study was stored", extra={"study": "1.2.3", "instances": 7})
log.debug("too small to tell")
logging.getLogger("pydicom").warning("Doe^Jane")
try:
    raise ValueError("Doe^Jane")
except ValueError:
    log.exception("it failed")
flush()
"""


async def run(**variables: str) -> list[str]:
    """What the program writes to standard error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | variables
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, told = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, told.decode()
    return told.decode().splitlines()


def endpoint(receiver: OtlpReceiver) -> str:
    return f"http://127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("asked", ["common endpoint", "own endpoint"])
async def test_a_collector_gets_the_same_lines_with_their_trace_and_severity(asked: str) -> None:
    async with otlp_receiver() as receiver:
        if asked == "own endpoint":
            written = await run(OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=endpoint(receiver))
        else:
            written = await run(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint(receiver), OTEL_LOGS_EXPORTER="otlp")
    assert [line.body for line in receiver.lines] == written
    assert {line.service for line in receiver.lines} == {"imaging-storage"}
    assert [line.severity for line in receiver.lines] == ["INFO", "ERROR"]
    stored = json.loads(receiver.lines[0].body)
    assert (stored["study"], stored["instances"]) == ("1.2.3", 7)
    assert stored["trace_id"] == receiver.lines[0].trace_id
    assert not receiver.lines[1].trace_id
    assert "Doe" not in str(receiver.lines)


@pytest.mark.parametrize(
    "variables", [{}, {"OTEL_LOGS_EXPORTER": "none"}, {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}]
)
async def test_no_line_leaves_that_was_not_asked_for(variables: dict[str, str]) -> None:
    async with otlp_receiver() as receiver:
        written = await run(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint(receiver), **variables)
    assert len(written) == 2
    assert receiver.lines == []


async def test_a_collector_that_is_away_costs_no_line_of_standard_error() -> None:
    written = await run(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.9:1", OTEL_LOGS_EXPORTER="otlp")
    told = [json.loads(line)["message"] for line in written if line.startswith("{")]
    assert [message for message in told if message in ("a study was stored", "it failed")] == told[:2]


def test_another_protocol_than_grpc_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    before = list(logging.getLogger().handlers)
    with pytest.raises(SettingsInvalid, match=r"gRPC.*OTEL_EXPORTER_OTLP_PROTOCOL"):
        export_logs("storage")
    assert logging.getLogger().handlers == before
