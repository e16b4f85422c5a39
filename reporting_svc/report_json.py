"""The report as data."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from reporting_svc.content.report_content import DISCLAIMER, KeyImage, ReportContent


def render_json(content: ReportContent) -> bytes:
    """UTF-8 JSON with full precision and coded concepts; pictures are named, not contained."""
    return json_bytes({"disclaimer": DISCLAIMER, **_plain(content)})


def json_bytes(data: Any) -> bytes:
    """The same data as the same UTF-8 bytes, for documents that people read, too.

    Raises
    ------
    ValueError
        For a number that JSON does not have.
    """
    return (json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value) if not (isinstance(value, KeyImage) and field.name == "png")]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no such number (RFC 8259 6).
        return None
    return value
