"""One piece of work that is being done, and the callers that wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Generic, TypeVar

from imaging.errors import Cancelled, ImagingError
from imaging.stage.v1.stage_pb2 import Progress
from imaging.work.progress_report import Report

R = TypeVar("R")

_log = logging.getLogger(__name__)


class RunningWork(Generic[R]):
    """A task with the newest progress, the number of its callers, and the timer that ends it without any.

    Belongs to the event loop that it was made in; only the `Report` given to the work may be called from threads.
    """

    def __init__(self, request_id: str, start: Callable[[Report], Awaitable[R]], *, orphan_timeout: timedelta) -> None:
        self.request_id = request_id
        self.progress = Progress()
        self.revision = 0
        """Grows with each progress that was reported."""
        self._loop = asyncio.get_running_loop()
        self._orphan_timeout_s = orphan_timeout.total_seconds()
        self._orphan_timer: asyncio.TimerHandle | None = None
        self._callers = 0
        self._cancelled_because = ""
        self._changed = asyncio.Event()
        # The task keeps the context of its first caller, so that its spans become children of that call.
        self.task: asyncio.Task[R] = self._loop.create_task(self._run(start), name=f"work {request_id}")
        self.task.add_done_callback(self._ended)

    async def _run(self, start: Callable[[Report], Awaitable[R]]) -> R:
        return await start(self._report)

    def _report(self, done: int, total: int, unit: str, message: str) -> None:
        """Called in any thread; a plain attribute read is enough to see the cancellation."""
        if self._cancelled_because:
            raise self.cancelled_error()
        progress = Progress(done=done, total=total, unit=unit, message=message)
        try:
            self._loop.call_soon_threadsafe(self._take, progress)
        except RuntimeError as error:  # the loop is closed: the process is going down, and a thread is left over
            raise Cancelled("The service that did the work has ended", where=self.request_id) from error

    def _take(self, progress: Progress) -> None:
        self.progress = progress
        self.revision += 1
        self._wake()

    def _wake(self) -> None:
        # A fresh event each time: every waiter sees this change once and waits for the next one on the new event.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_for_change(self, seen_revision: int, timeout_s: float) -> None:
        """Come back at a progress newer than `seen_revision`, at the end of the work, or after the timeout."""
        if self.revision != seen_revision or self.task.done():
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def enter(self) -> None:
        """Count a caller."""
        self._callers += 1
        if self._orphan_timer is not None:
            self._orphan_timer.cancel()
            self._orphan_timer = None

    def leave(self) -> None:
        """Uncount a caller; without any, the orphan timer starts."""
        self._callers -= 1
        if self._callers == 0 and not self.task.done():
            self._orphan_timer = self._loop.call_later(
                self._orphan_timeout_s, self.cancel, f"no caller was attached for {self._orphan_timeout_s:g} s"
            )

    def cancel(self, because: str) -> None:
        """End the work at once: the coroutine now, a thread that it waits for at its next report."""
        if self.task.done() or self._cancelled_because:
            return
        self._cancelled_because = because
        self.task.cancel()
        _log.info("work cancelled", extra={"request_id": self.request_id, "because": because})

    @property
    def is_cancelled(self) -> bool:
        """True from the moment when `cancel` was called, although the work may still be winding up."""
        return bool(self._cancelled_because)

    def cancelled_error(self) -> Cancelled:
        """The error that callers of cancelled work get."""
        return Cancelled(
            f"The work was cancelled: {self._cancelled_because or 'its task was ended'}",
            where=self.request_id,
            hint="Send the request again with the same request id to do it anew.",
        )

    def result(self) -> R:
        """The result of work that has ended.

        Raises
        ------
        Cancelled
            If it was cancelled.
        ImagingError
            Whatever the work raised.
        """
        if self.task.cancelled():
            raise self.cancelled_error()
        return self.task.result()

    def _ended(self, task: asyncio.Task[R]) -> None:
        if self._orphan_timer is not None:
            self._orphan_timer.cancel()
        self._wake()
        error = None if task.cancelled() else task.exception()  # asking marks it as seen, also when nobody is attached
        if error is not None and self._callers == 0:
            told = error.text if isinstance(error, ImagingError) else type(error).__name__
            _log.warning("work failed without a caller", extra={"request_id": self.request_id, "error": told})
