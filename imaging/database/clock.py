"""Time as the tables keep it: microseconds since 1970 UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> int:
    """The current time."""
    return time.time_ns() // 1000


def utc_now() -> datetime:
    """The current time, as object stores tell it."""
    return datetime.now(UTC)


def microseconds(span: timedelta) -> int:
    """A span of time."""
    return span // timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """A time that knows its zone, as it is kept; exact."""
    return microseconds(moment - _EPOCH)


def from_microseconds(time_us: int) -> datetime:
    """A time that is kept, in UTC; exact."""
    return _EPOCH + timedelta(microseconds=time_us)


def timestamp(time_us: int) -> Timestamp:
    """The same time on the wire."""
    return Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1000)
