"""The run engine of one process: tasks in it, whose memory is the table of runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from imaging.database.lease import LeaseLost
from imaging.errors import ImagingError
from imaging.pipeline.v1 import pipeline_pb2
from pipeline_svc.runs.changes import RunEnded
from pipeline_svc.runs.record import RunRecord
from pipeline_svc.runs.runs import Runs

_log = logging.getLogger(__name__)


class EmbeddedEngine:
    """`engine.RunEngine`: at most `max_parallel_runs` at a time, the oldest first.

    Parameters
    ----------
    carry
        Carries one run through its script.
    again_after
        A run that met a failing database is taken up again after so long.
    look_every
        So often the table is looked at for what another replica has begun or ended in it.
    """

    def __init__(
        self,
        runs: Runs,
        carry: Callable[[RunRecord], Awaitable[None]],
        *,
        max_parallel_runs: int,
        again_after: timedelta = timedelta(seconds=5),
        look_every: timedelta = timedelta(seconds=1),
    ) -> None:
        self._runs = runs
        self._carry = carry
        self._max_parallel_runs = max_parallel_runs
        self._again_after_s = again_after.total_seconds()
        self._look_every_s = look_every.total_seconds()
        self._waiting: dict[str, None] = {}
        """Run ids in the order of their submission."""
        self._submitted = asyncio.Event()
        self._carried: dict[str, asyncio.Task[None]] = {}
        self._submitted_again: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._is_on = False

    async def run(self) -> None:
        """Carry every run that is not ended, until cancelled; they are let go of then, and go on at the next call."""
        self._is_on = True
        tasks = [
            asyncio.create_task(self._work(), name=f"run-worker-{number}") for number in range(self._max_parallel_runs)
        ]
        tasks.append(asyncio.create_task(self._follow_table(), name="run-table"))
        try:
            await asyncio.gather(*tasks)
        finally:
            self._is_on = False
            for timer in self._timers.values():
                timer.cancel()
            tasks += self._carried.values()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for forgotten in (self._timers, self._waiting, self._carried, self._submitted_again):
                forgotten.clear()

    def submit(self, run_id: str) -> None:
        """Take up a run that is PENDING in the table now; where `run` is not on, another replica finds it there."""
        if not self._is_on:
            return
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

    async def _follow_table(self) -> None:
        ended_before: set[str] = set()
        while True:
            try:
                unfinished = await self._runs.unfinished()
            except ImagingError as error:
                _log.warning("the table of runs cannot be looked at", extra={"error": error.text})
            else:
                for run_id in unfinished:
                    if run_id not in self._carried and run_id not in self._timers:
                        self.submit(run_id)
                # Twice, because one that ends by itself is carried for a moment longer.
                ended = self._carried.keys() - set(unfinished)
                for run_id in ended & ended_before:
                    self._carried[run_id].cancel()
                ended_before = ended
            await asyncio.sleep(self._look_every_s)

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
                    self._carried.pop(run_id, None)
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
        except LeaseLost:
            _log.info("run is carried by another replica", extra={"run": f"runs/{run_id}"})
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
        except (RunEnded, LeaseLost):
            return
        except ImagingError as error:
            _log.warning("run cannot be ended", extra={"run": f"runs/{run_id}", "error": error.text})
            self._submit_later(run_id)

    def _submit_later(self, run_id: str) -> None:
        if not self._is_on:
            return

        def submit() -> None:
            del self._timers[run_id]
            self.submit(run_id)

        self._timers[run_id] = asyncio.get_running_loop().call_later(self._again_after_s, submit)
