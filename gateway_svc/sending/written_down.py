"""What becomes of a sending is written down while it goes on, and at its end, whatever ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

from gateway_svc.dimse.wanted_instances import Wanted
from gateway_svc.sending.outcome import OnOutcome
from imaging.errors import ImagingError

Record: TypeAlias = Callable[[set[str], Mapping[str, ImagingError]], Awaitable[None]]
"""Writes down names of instances that were sent, and of those that were not with the reason."""

_EVERY_S: Final = 3.0
"""So much is sent twice, or not listed, when the process dies."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def written_down(record: Record) -> AsyncIterator[OnOutcome]:
    """Who is to be told of each outcome; what was told is written at the end also when the sending is cancelled.

    Raises
    ------
    ImagingError
        If it cannot be written at the end.
    """
    told: dict[str, ImagingError | None] = {}
    ended = asyncio.Event()

    def on_outcome(item: Wanted, error: ImagingError | None) -> None:
        told[item.name] = error

    async def write() -> None:
        now = dict(told)
        sent = {name for name, error in now.items() if error is None}
        await record(sent, {name: error for name, error in now.items() if error is not None})
        for name in now:
            del told[name]

    async def now_and_then() -> None:
        while not ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await ended.wait()
            try:
                await write()
            except ImagingError as error:
                if ended.is_set():
                    raise
                _log.warning("what became of sends cannot be written down now", extra={"error": error.text})

    # One task writes all: it is not cut in the middle, and nothing is written twice.
    writing = asyncio.create_task(now_and_then(), name="written-down")
    try:
        yield on_outcome
    finally:
        ended.set()
        await asyncio.shield(writing)
