"""The order of the stages, from the complete study to its report and its way back, like a script.

Every step of `run` is durable: done again after a restart, it gives what it gave before and does nothing twice. So the
script may be begun again at its first line at any time; that is all the recovery there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipeline_svc.recipes.stage_spec import Kind
from pipeline_svc.runs.record import StageRecord


class StageFailed(Exception):
    """The plan, or a stage that the run cannot do without, has failed; its text is the reason of the run."""


class RunSteps(Protocol):
    """What the script can do: the seam between the order of the stages and the engine that makes them durable."""

    async def plan(self) -> str:
        """Decide the recipe, the series and the stages; the reason if there is nothing to do, else empty."""

    def stages(self, kind: Kind) -> Sequence[StageRecord]:
        """The planned stages of a kind, in order."""

    async def process(self, stage: StageRecord) -> None:
        """Derive a series from the selected one, or from an earlier derived one; it is stored."""

    async def analyze(self, stage: StageRecord) -> None:
        """Measure a series; findings go to the table of analysis, segmentations to storage."""

    async def report(self, stage: StageRecord) -> None:
        """Make the report of all findings of the run; SR and PDF go to storage."""

    async def send(self, stage: StageRecord) -> None:
        """Send results, or the study, to a destination."""

    async def raise_alerts(self) -> None:
        """Hold the findings of the run so far against the rules of its recipe."""

    def why_nothing_to_report(self) -> str:
        """The reason if there were analyses and every one has failed; else empty."""

    async def succeed(self) -> None:
        """The run has done everything."""

    async def skip(self, reason: str) -> None:
        """The run has nothing to do."""

    async def fail(self, reason: str) -> None:
        """The run cannot go on."""


async def run_study(run: RunSteps) -> None:
    """One manifest version of a study, through one recipe."""
    try:
        nothing_to_do = await run.plan()
        if nothing_to_do:
            await run.skip(nothing_to_do)
            return

        # Pixels in, derived pixels out.
        for stage in run.stages("process"):
            await run.process(stage)

        # Pixels in, findings out. What somebody shall see soon waits for nothing else, which may fail or take long.
        for stage in run.stages("analyze"):
            await run.analyze(stage)
            await run.raise_alerts()

        # Findings in, documents out.
        nothing_to_report = run.why_nothing_to_report()
        if nothing_to_report:
            await run.fail(nothing_to_report)
            return
        for stage in run.stages("report"):
            await run.report(stage)

        # Results out, to the PACS.
        for stage in run.stages("send"):
            await run.send(stage)
    except StageFailed as failed:
        await run.fail(str(failed))
        return
    await run.succeed()
