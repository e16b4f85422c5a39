"""Ends runs from outside: in the table first, which decides, then in the engine, then at the services."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline_svc.runs.changes import EndedRun
from pipeline_svc.runs.engine import RunEngine
from pipeline_svc.runs.runs import Runs
from pipeline_svc.stages.stage_call import StageCalls


class RunControl:
    """Cancels and takes up again.

    Should the process die between the table and the services, the orphan timers of the services end the work.
    """

    def __init__(self, runs: Runs, engine: RunEngine, calls: StageCalls) -> None:
        self._runs = runs
        self._engine = engine
        self._calls = calls

    async def cancel(self, run_id: str, reason: str) -> None:
        """End a run; nothing if it has ended already."""
        await self.let_go(await self._runs.end(run_id, reason))

    async def retry(self, run_id: str) -> None:
        """Take a failed or cancelled run up again at the stage where it ended.

        Raises
        ------
        NotFound, FailedPrecondition
            If it is not there, or not in such a state.
        """
        await self._runs.take_up_again(run_id)
        self._engine.submit(run_id)

    async def let_go(self, ended: Iterable[EndedRun]) -> None:
        """Stop the work for runs that were ended in the table."""
        for run in ended:
            await self._engine.cancel(run.id)
            await self._calls.cancel(run.stages)
