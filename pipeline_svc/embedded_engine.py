"""The run engine of one machine: tasks in this process, whose memory is the table of runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from imaging.errors import ImagingError
from imaging.pipeline.v1 import pipeline_pb2
from pipeline_svc.run_changes import RunEnded
from pipeline_svc.run_record import RunRecord
from pipeline_svc.runs import Runs

_log = logging.getLogger(__name__)


class EmbeddedEngine:
    """`engine.RunEngine`: at most `max_parallel_runs` at a time, the oldest first.

    Parameters
    ----------
    carry
        Carries one run through its script.
    again_after
        A run that met a failing database is taken up again after so long.
    """

    def __init__(
        self,
        runs: Runs,
        carry: Callable[[RunRecord], Awaitable[None]],
        *,
        max_parallel_runs: int,
        again_after: timedelta = timedelta(seconds=5),
    ) -> None:
        self._runs = runs
        self._carry = carry
        self._max_parallel_runs = max_parallel_runs
        self._again_after_s = again_after.total_seconds()
        self._waiting: dict[str, None] = {}
        """Run ids in the order of their submission."""
        self._submitted = asyncio.Event()
        self._carried: dict[str, asyncio.Task[None]] = {}
        self._submitted_again: set[str] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._workers: list[asyncio.Task[None]] = []
        self._is_stopped = False

    async def start(self) -> None:
        """Take up every run that is not ended, then those that are submitted."""
        for run_id in await self._runs.unfinished():
            self.submit(run_id)
        self._workers = [
            asyncio.create_task(self._work(), name=f"run-worker-{number}") for number in range(self._max_parallel_runs)
        ]

    def submit(self, run_id: str) -> None:
        """Take up a run that is PENDING in the table."""
        if run_id in self._carried:
            # It may be in its last steps, and not see that it was taken up again: look once more when they are done.
            self._submitted_again.add(run_id)
            return
        self._waiting[run_id] = None
        self._submitted.set()

    async def cancel(self, run_id: str) -> None:
        """Let go of a run that was ended in the table."""
        self._waiting.pop(run_id, None)
        task = self._carried.get(run_id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def stop(self, grace: timedelta) -> None:
        """Take up nothing more and let go of all runs; they go on at the next start."""
        self._is_stopped = True
        for timer in self._timers:
            timer.cancel()
        tasks = [*self._workers, *self._carried.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=grace.total_seconds())

    async def _work(self) -> None:
        while True:
            run_id = await self._next()
            task = asyncio.create_task(self._carry_one(run_id), name=f"run-{run_id}")
            self._carried[run_id] = task
            try:
                # Waits without being ended by what ends the run.
                await asyncio.wait({task})
            finally:
                if task.done():
                    del self._carried[run_id]
                    if run_id in self._submitted_again:
                        self._submitted_again.discard(run_id)
                        self.submit(run_id)

    async def _next(self) -> str:
        while not self._waiting:
            self._submitted.clear()
            await self._submitted.wait()
        run_id = next(iter(self._waiting))
        del self._waiting[run_id]
        return run_id

    async def _carry_one(self, run_id: str) -> None:
        try:
            run = await self._runs.get(run_id)
            if run.is_going:
                await self._carry(run)
        except RunEnded:
            _log.info("run was ended from outside", extra={"run": f"runs/{run_id}"})
        except ImagingError as error:
            _log.warning("run interrupted", extra={"run": f"runs/{run_id}", "error": error.text})
            self._submit_later(run_id)
        except Exception:  # noqa: BLE001 - one run with a defect must not end the worker of all others
            _log.exception("run met a defect", extra={"run": f"runs/{run_id}"})
            await self._give_up(run_id)

    async def _give_up(self, run_id: str) -> None:
        """A defect of ours fails the run: carrying it on for ever would help nobody. A user may retry it."""
        reason = "an unforeseen error in the pipeline service; its log tells more, by the run's trace id"
        try:
            await self._runs.finish(run_id, pipeline_pb2.STATE_FAILED, reason)
        except RunEnded:
            return
        except ImagingError as error:
            _log.warning("run cannot be ended", extra={"run": f"runs/{run_id}", "error": error.text})
            self._submit_later(run_id)

    def _submit_later(self, run_id: str) -> None:
        if self._is_stopped:
            return

        def submit() -> None:
            self._timers.discard(timer)
            self.submit(run_id)

        timer = asyncio.get_running_loop().call_later(self._again_after_s, submit)
        self._timers.add(timer)
