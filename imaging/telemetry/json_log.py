"""Logs as JSON lines with trace ids. No patient data: messages are constant sentences, facts are `extra` fields."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from typing import Final, TextIO

from opentelemetry import trace

_STANDARD: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, service, logger, message, trace ids, then the `extra` fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            entry["trace_id"], entry["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
        entry.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info and record.exc_info[0] is not None:
            entry["error"] = record.exc_info[0].__name__
            entry["stack"] = _stack_without_values(record.exc_info)
        return json.dumps(entry, default=str)


def log_to_stderr(service: str, level: str) -> None:
    """Send the logs of this process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    handler.addFilter(is_ours)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    warnings.showwarning = _log_place_of_warning


def is_ours(record: logging.LogRecord) -> bool:
    """A filter that lets no record of a library through that may quote a patient's data."""
    # pydicom and highdicom put attribute values into their messages, and those may be a patient's. A filter, because
    # pydicom sets the level of its logger by itself when it is imported. What alembic does is told by us.
    return record.name.partition(".")[0] not in ("pydicom", "highdicom", "alembic")


def _log_place_of_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a Python warning without its text, which may quote an attribute's value."""
    logging.getLogger("warnings").info(
        "a library warned", extra={"category": category.__name__, "place": f"{filename}:{lineno}"}
    )


def _stack_without_values(exc_info: tuple[object, ...]) -> list[str]:
    # The text of a foreign exception may quote the input; only the places are kept.
    frames = []
    traceback = exc_info[2]
    while traceback is not None:
        code = traceback.tb_frame.f_code  # type: ignore[attr-defined]
        frames.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")  # type: ignore[attr-defined]
        traceback = traceback.tb_next  # type: ignore[attr-defined]
    return frames
