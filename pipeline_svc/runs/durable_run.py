"""The steps of a run on the service's own database: each is done once, remembered, and gone on with after a restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from imaging.errors import DeadlineExceeded, ImagingError
from imaging.pipeline.v1 import pipeline_pb2
from imaging.reporting.v1.reporting_service_pb2 import StageSummary
from imaging.stage.v1.stage_pb2 import Refusal, StageContext
from pipeline_svc.alerts.rules import alerts_of
from pipeline_svc.alerts.run_alerts import RunAlerts
from pipeline_svc.recipes.book import RecipeBook
from pipeline_svc.recipes.parse_recipe import parse_recipe
from pipeline_svc.recipes.planning import plan_run
from pipeline_svc.recipes.stage_spec import Kind
from pipeline_svc.runs.message import timestamp
from pipeline_svc.runs.record import GOING, RunRecord, StageOutcome, StageRecord
from pipeline_svc.runs.runs import Runs
from pipeline_svc.runs.script import StageFailed
from pipeline_svc.stages.stage_call import WORTH_WAITING, StageCalls
from pipeline_svc.stages.stage_service import StageTask
from pipeline_svc.stages.what_to_send import names_to_send

if TYPE_CHECKING:
    from imaging.client.storage import StorageClient

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LONGEST_DELAY_S = 5.0


class DurableRun:
    """`run_script.RunSteps`. What was done in an earlier life of this run is in its record, and is not done again."""

    def __init__(
        self,
        run: RunRecord,
        *,
        runs: Runs,
        storage: StorageClient,
        book: RecipeBook,
        calls: StageCalls,
        alerts: RunAlerts,
        time_limit_s: float,
    ) -> None:
        self._run = run
        self._alerts = alerts
        self._runs = runs
        self._storage = storage
        self._book = book
        self._calls = calls
        self._ends_at = time.monotonic() + time_limit_s

    async def plan(self) -> str:
        """Decide recipe, series and stages, once; waits for storage while it is away.

        Raises
        ------
        StageFailed
            If the study cannot be read: the run has failed, and may be taken up again.
        """
        if self._run.is_planned:
            return ""
        try:
            plan = await self._while_away("storage", lambda: plan_run(self._run, self._storage, self._book))
        except ImagingError as error:
            raise StageFailed(f"the study cannot be read: {error.text}") from None
        if not plan.stages:
            return plan.why_nothing
        recipe = plan.recipe.recipe
        same = await self._runs.plan(self._run.id, (recipe.name, recipe.version, plan.recipe.source), plan.stages)
        if same:
            return f"{same} does the recipe {recipe.name} already"
        await self._reload()
        return ""

    def stages(self, kind: Kind) -> Sequence[StageRecord]:
        """The planned stages of a kind, in order, as they are now."""
        return [stage for stage in self._run.stages if stage.plan.kind == kind]

    async def process(self, stage: StageRecord) -> None:
        """Derive a series."""
        await self._on_series(stage)

    async def analyze(self, stage: StageRecord) -> None:
        """Measure a series."""
        await self._on_series(stage)

    async def report(self, stage: StageRecord) -> None:
        """Make the report of what the earlier stages did."""
        summaries = [_summary(earlier) for earlier in self._run.stages if earlier.plan.kind in ("process", "analyze")]
        await self._do(stage, "", (), summaries=summaries)

    async def send(self, stage: StageRecord) -> None:
        """Send what the earlier stages have stored, or the study.

        Raises
        ------
        StageFailed
            If it cannot be told what that is, or it was not sent; not if the stage is optional.
        """
        if stage.state not in GOING:
            await self._do(stage, "", ())
            return
        try:
            names = await self._while_away(
                "storage", lambda: names_to_send(self._run, stage.plan.documents, self._storage)
            )
        except ImagingError as error:
            await self._end_failed(stage, f"what the run has stored cannot be read: {error.text}")
            return
        if names:
            await self._do(stage, "", (), names=names)
        else:
            why = f"the run has stored nothing of this: {', '.join(stage.plan.documents)}"
            await self._runs.end_stage(stage, pipeline_pb2.STATE_SKIPPED, StageOutcome(), why)
            await self._reload()

    async def raise_alerts(self) -> None:
        """Raise the alerts of the recipe; done again, it raises none twice.

        Raises
        ------
        StageFailed
            If the findings cannot be read: the run has failed, and may be taken up again.
        """
        rules = parse_recipe(self._run.recipe_source, self._run.recipe).recipe.alerts
        if not rules:
            return
        try:
            findings = await self._while_away("analysis", lambda: self._alerts.findings(self._run.name))
        except ImagingError as error:
            raise StageFailed(f"the findings cannot be read: {error.text}") from None
        count = await self._alerts.table.raise_all(alerts_of(self._run, rules, findings))
        if count:
            _log.warning("alerts raised", extra={"run": self._run.name, "count": count})

    def why_nothing_to_report(self) -> str:
        """The reason if there were analyses and every one has failed."""
        analyses = self.stages("analyze")
        failed = [stage for stage in analyses if stage.state != pipeline_pb2.STATE_SUCCEEDED]
        if not analyses or len(failed) < len(analyses):
            return ""
        return f"no analysis succeeded: {failed[0].plan.name}: {failed[0].error}"

    async def succeed(self) -> None:
        """The run has done everything."""
        await self._runs.finish(self._run.id, pipeline_pb2.STATE_SUCCEEDED)

    async def skip(self, reason: str) -> None:
        """The run has nothing to do."""
        await self._runs.finish(self._run.id, pipeline_pb2.STATE_SKIPPED, reason)

    async def fail(self, reason: str) -> None:
        """The run cannot go on."""
        await self._runs.finish(self._run.id, pipeline_pb2.STATE_FAILED, reason)

    async def _on_series(self, stage: StageRecord) -> None:
        if not stage.plan.input:
            await self._do(stage, stage.plan.selected_series, stage.plan.sop_instance_uids)
            return
        source = next(
            earlier
            for earlier in self._run.stages
            if earlier.plan.kind == "process"
            and earlier.plan.uses == stage.plan.input
            and earlier.plan.selected_series == stage.plan.selected_series
        )
        if source.outcome.series:
            await self._do(stage, source.outcome.series, ())
        elif stage.state == pipeline_pb2.STATE_PENDING:
            why = f"there is no {source.plan.uses} series: {_why_no_output(source)}"
            await self._runs.end_stage(stage, pipeline_pb2.STATE_SKIPPED, StageOutcome(), why)
            await self._reload()

    async def _do(
        self,
        stage: StageRecord,
        series: str,
        sop_instance_uids: tuple[str, ...],
        *,
        summaries: Sequence[StageSummary] = (),
        names: tuple[str, ...] = (),
    ) -> None:
        if stage.state == pipeline_pb2.STATE_FAILED:
            self._failed(stage, stage.error)
        if stage.state not in (pipeline_pb2.STATE_PENDING, pipeline_pb2.STATE_RUNNING):
            return

        async def begin(replica: str) -> StageTask:
            attempt = await self._runs.begin_attempt(stage, series, replica)
            context = StageContext(
                request_id=stage.request_id,
                attempt=attempt,
                effective_time=timestamp(self._run.create_time),
                run=self._run.name,
                stage=stage.plan.name,
            )
            return StageTask(context, self._run, stage, replica, series, sop_instance_uids, summaries, names)

        try:
            outcome = await self._calls.perform(
                stage,
                begin,
                lambda progress: self._runs.tell_progress(stage, progress),
                remaining_s=self._remaining_s,
            )
        except ImagingError as error:
            await self._end_failed(stage, error.text)
        else:
            await self._runs.end_stage(stage, pipeline_pb2.STATE_SUCCEEDED, outcome)
            await self._reload()

    async def _end_failed(self, stage: StageRecord, error: str) -> None:
        await self._runs.end_stage(stage, pipeline_pb2.STATE_FAILED, StageOutcome(), error)
        await self._reload()
        self._failed(stage, error)

    @staticmethod
    def _failed(stage: StageRecord, error: str) -> None:
        if not stage.plan.is_optional:
            raise StageFailed(f"{stage.plan.name}: {error}")

    async def _while_away(self, service: str, call: Callable[[], Awaitable[T]]) -> T:
        delay_s = 0.2
        while True:
            try:
                return await call()
            except (*WORTH_WAITING, DeadlineExceeded) as error:  # one that is frozen misses deadlines first
                told = {"run": self._run.name, "service": service, "error": error.text}
                _log.warning("a service is away, the run waits", extra=told)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, _LONGEST_DELAY_S)

    async def _reload(self) -> None:
        self._run = await self._runs.get(self._run.id)

    def _remaining_s(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())


def _summary(stage: StageRecord) -> StageSummary:
    outcome = stage.outcome
    refusals = list(outcome.refusals)
    if stage.state in (pipeline_pb2.STATE_FAILED, pipeline_pb2.STATE_SKIPPED):
        # The reader of the report shall see that something is missing, and why.
        rule = "STAGE_FAILED" if stage.state == pipeline_pb2.STATE_FAILED else "STAGE_SKIPPED"
        refusals.append(Refusal(subject=stage.plan.uses, rule=rule, message=stage.error))
    return StageSummary(
        stage=stage.plan.name,
        request_id=stage.request_id,
        algorithm=outcome.algorithm or stage.plan.uses,
        series=stage.series or stage.plan.selected_series,
        outputs=[outcome.series] if outcome.series else outcome.instances,
        refusals=refusals,
    )


def _why_no_output(stage: StageRecord) -> str:
    return stage.error or "; ".join(refusal.message for refusal in stage.outcome.refusals) or "it stored nothing"
