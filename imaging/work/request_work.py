"""Work by request id: started once, attached to by every later call, kept for a while when it is done."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Generic, TypeVar

from opentelemetry import metrics
from opentelemetry.metrics import Observation

from imaging.errors import InvalidArgument, Unavailable
from imaging.stage.v1.stage_pb2 import Progress
from imaging.telemetry.durations import Durations
from imaging.work.progress_report import Report
from imaging.work.running_work import RunningWork

R = TypeVar("R")


class RequestWork(Generic[R]):
    """The work of one service, by request id.

    A caller may be lost and come again: the work goes on meanwhile, for `orphan_timeout`. So a restart of the caller
    discards nothing. A result is kept for later calls; an error is not, for the next call may well succeed (a service
    that was down is up again), and an error that is deterministic comes again by itself.

    Parameters
    ----------
    orphan_timeout
        How long work goes on without any caller.
    heartbeat
        At least so often a caller gets a progress, changed or not.
    keep_results
        So many results of ended work are kept, the oldest forgotten first. What must survive a restart belongs into
        the service's database.
    progress_interval
        At most so often a caller gets a progress; those in between are left out.
    keep
        Whether a result is kept for later calls; all are, unless told otherwise.
    """

    def __init__(
        self,
        *,
        orphan_timeout: timedelta = timedelta(seconds=60),
        heartbeat: timedelta = timedelta(seconds=5),
        keep_results: int = 256,
        progress_interval: timedelta = timedelta(milliseconds=100),
        keep: Callable[[R], bool] = lambda _: True,
    ) -> None:
        self._orphan_timeout = orphan_timeout
        self._heartbeat_s = heartbeat.total_seconds()
        self._progress_interval_s = progress_interval.total_seconds()
        self._keep_results = keep_results
        self._keep = keep
        self._running: dict[str, RunningWork[R]] = {}
        self._results: OrderedDict[str, R] = OrderedDict()
        self._is_draining = False
        self._durations = Durations("imaging.work.duration", "Time that work took, whoever waited for it.")
        metrics.get_meter("imaging").create_observable_gauge(
            "imaging.work.running",
            [lambda _: [Observation(len(self._running))]],
            description="Pieces of work that are being done.",
        )

    async def attach(self, request_id: str, start: Callable[[Report], Awaitable[R]]) -> AsyncIterator[Progress | R]:
        """Progress of the work at least every heartbeat, then, as the last item, its result.

        The work is begun by calling `start` if no work of this request is known. It runs in a task of its own: leaving
        the iteration does not end it. `start` should do what takes CPU time in threads.

        Raises
        ------
        InvalidArgument
            If the request id is empty.
        Unavailable
            If the service is draining and the work is not known.
        Cancelled
            If the work was cancelled, or nobody was attached for too long.
        ImagingError
            Whatever the work raised.
        """
        if not request_id:
            raise InvalidArgument(
                "The request has no request_id",
                where="context.request_id",
                hint="Choose one that is unique for this piece of work and the same when it is asked for again.",
            )
        while (dying := self._running.get(request_id)) is not None and dying.is_cancelled:
            # Never two at a time: what was cancelled winds up before the same request is taken up anew.
            await asyncio.wait({dying.task}, timeout=self._heartbeat_s)
            if not dying.task.done():
                yield dying.progress
        if request_id in self._results:
            self._results.move_to_end(request_id)
            yield self._results[request_id]
            return
        work = self._running.get(request_id) or self._begin(request_id, start)
        work.enter()
        try:
            seen = work.revision
            yield work.progress  # at once: the caller knows that it is attached
            while not work.task.done():
                await asyncio.wait({work.task}, timeout=min(self._progress_interval_s, self._heartbeat_s))
                await work.wait_for_change(seen, self._heartbeat_s)
                if not work.task.done():
                    seen = work.revision
                    yield work.progress
            yield work.result()
        finally:
            work.leave()

    def cancel(self, request_id: str) -> None:
        """End the work of a request at once. Ended or unknown work is left as it is."""
        work = self._running.get(request_id)
        if work is not None:
            work.cancel("a user asked for it")

    async def drain(self, grace: timedelta) -> None:
        """Begin nothing more, wait for the running work for at most `grace`, then cancel what is left."""
        self._is_draining = True
        running = {work.task for work in self._running.values()}
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=grace.total_seconds())
        if late:
            for work in list(self._running.values()):
                work.cancel("the service is shutting down")
            await asyncio.wait(late)

    def _begin(self, request_id: str, start: Callable[[Report], Awaitable[R]]) -> RunningWork[R]:
        if self._is_draining:
            raise Unavailable(
                "The service is shutting down and takes no new work",
                where=request_id,
                hint="Send the request again when the service is back.",
            )

        async def timed(report: Report) -> R:
            with self._durations.of("stage"):
                return await start(report)

        work = RunningWork(request_id, timed, orphan_timeout=self._orphan_timeout)
        self._running[request_id] = work
        work.task.add_done_callback(lambda _: self._ended(work))
        return work

    def _ended(self, work: RunningWork[R]) -> None:
        del self._running[work.request_id]
        if work.task.cancelled() or work.task.exception() is not None:
            return
        if not self._keep(work.task.result()):
            return
        self._results[work.request_id] = work.task.result()
        while len(self._results) > self._keep_results:
            self._results.popitem(last=False)
