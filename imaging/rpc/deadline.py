"""Always a deadline: what remains of the caller's is passed on, and a default stands where none was given."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final

from imaging.errors import DeadlineExceeded
from imaging.rpc.around import Call

DEFAULT_UNARY: Final = timedelta(seconds=30)
"""For a call with one answer. Streams end by their own rules: idle time, orphan time, or never (watches)."""

_ends_at: ContextVar[float | None] = ContextVar("deadline", default=None)


def remaining_seconds() -> float | None:
    """Seconds until the deadline of the call that is being served; None outside a call or without a deadline."""
    ends_at = _ends_at.get()
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())


@asynccontextmanager
async def deadline(call: Call) -> AsyncIterator[None]:
    """Hold the handler to the caller's deadline, or to the default one for calls with one answer."""
    # None where the caller gave no deadline, whatever grpc's stubs say.
    seconds: float | None = call.context.time_remaining()
    if seconds is None and not call.streams_responses and not call.streams_requests:
        seconds = DEFAULT_UNARY.total_seconds()
    token = _ends_at.set(None if seconds is None else time.monotonic() + seconds)
    try:
        async with asyncio.timeout(seconds) as timer:
            yield
    except TimeoutError:
        if not timer.expired():
            raise  # of something inside, whose time is not the caller's
        raise DeadlineExceeded(
            "The call took longer than its deadline", where=call.name, hint="Call again with a longer one."
        ) from None
    finally:
        _ends_at.reset(token)
