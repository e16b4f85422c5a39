"""Carries one run through its script within its deadline."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context

from imaging.rpc.tracing import context_of
from pipeline_svc.alerts.run_alerts import RunAlerts
from pipeline_svc.recipes.book import RecipeBook
from pipeline_svc.recipes.parse_recipe import parse_recipe
from pipeline_svc.runs.durable_run import DurableRun
from pipeline_svc.runs.record import RunRecord
from pipeline_svc.runs.runs import Runs
from pipeline_svc.runs.script import run_study
from pipeline_svc.stages.stage_call import StageCalls

if TYPE_CHECKING:
    from imaging.client.storage import StorageClient


class RunCarrier:
    """What an engine does with a run, whatever the engine.

    The deadline counts from when the run was taken up in this process: time in which the service was down, or the run
    waited for its turn, is not the run's fault.
    """

    def __init__(
        self,
        *,
        runs: Runs,
        storage: StorageClient,
        book: RecipeBook,
        calls: StageCalls,
        alerts: RunAlerts,
        deadline: timedelta,
    ) -> None:
        self._alerts = alerts
        self._runs = runs
        self._storage = storage
        self._book = book
        self._calls = calls
        self._deadline = deadline

    async def carry(self, run: RunRecord) -> None:
        """Go through the script; a run over its deadline is ended, at the services too.

        Raises
        ------
        RunEnded
            If the run was ended by somebody else.
        LeaseLost
            If another replica has the duty.
        ImagingError
            If the database does not answer.
        """
        limit = self._time_limit(run)
        steps = DurableRun(
            run,
            runs=self._runs,
            storage=self._storage,
            book=self._book,
            calls=self._calls,
            alerts=self._alerts,
            time_limit_s=limit.total_seconds(),
        )
        token = otel_context.attach(context_of(run.traceparent))
        try:
            async with asyncio.timeout(limit.total_seconds()) as deadline:
                await run_study(steps)
        except TimeoutError:
            if not deadline.expired():
                raise
            minutes = limit.total_seconds() / 60
            reason = f"the run took longer than its deadline of {minutes:g} minutes"
            for ended in await self._runs.end_overdue(run.id, reason):
                await self._calls.cancel(ended.stages)
        finally:
            otel_context.detach(token)

    def _time_limit(self, run: RunRecord) -> timedelta:
        minutes = parse_recipe(run.recipe_source, run.recipe).recipe.deadline_minutes
        return timedelta(minutes=minutes) if minutes is not None else self._deadline
