"""A log line is one JSON object with trace ids, and never quotes what an exception says."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from imaging.telemetry.json_log import JsonFormatter


def _line(record: logging.LogRecord) -> dict[str, object]:
    return json.loads(JsonFormatter("storage").format(record))  # type: ignore[no-any-return]


def test_a_record_becomes_one_object_with_its_extra_fields() -> None:
    record = logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, "stored", (), None, extra={"size_bytes": 7})
    entry = _line(record)
    assert (entry["message"], entry["level"], entry["service"], entry["size_bytes"]) == ("stored", "INFO", "storage", 7)


def test_trace_ids_of_the_current_span_stand_in_the_line() -> None:
    span = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))
    with use_span(span):
        entry = _line(logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, "stored", (), None))
    assert entry["trace_id"] == f"{0xABC:032x}"


def test_the_text_of_an_exception_is_left_out() -> None:
    try:
        raise ValueError("Doe^Jane")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.getLogger("x").makeRecord("x", logging.ERROR, "f", 1, "failed", (), info)
    text = JsonFormatter("storage").format(record)
    assert "Doe" not in text
    assert json.loads(text)["error"] == "ValueError"


def test_what_dicom_libraries_say_never_reaches_the_log() -> None:
    script = (
        "import logging, warnings\n"
        "from imaging.telemetry.json_log import log_to_stderr\n"
        "log_to_stderr('storage', 'DEBUG')\n"
        "import pydicom, highdicom\n"
        "logging.getLogger('pydicom').error('Doe^Jane')\n"
        "logging.getLogger('pydicom.config').critical('Doe^Jane')\n"
        "warnings.warn('Doe^Jane')\n"
        "logging.getLogger('storage_svc').info('ours')\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr
    assert "Doe" not in told
    entries = [json.loads(line) for line in told.splitlines()]
    assert [entry["message"] for entry in entries if entry["logger"] in ("warnings", "storage_svc")] == [
        "a library warned",
        "ours",
    ]
