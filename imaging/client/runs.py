"""Runs: list, look at, follow, take up again, end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable

import grpc

from imaging.client import conversion
from imaging.client.patience import Attempts, Patience
from imaging.client.results import Study
from imaging.client.run_results import Run, State
from imaging.errors import ImagingError, NotFound, Unavailable
from imaging.pipeline.v1 import pipeline_pb2, pipeline_service_pb2, pipeline_service_pb2_grpc
from imaging.rpc.status import domain_errors


class AsyncRuns:
    """The runs of an installation."""

    def __init__(self, channel: grpc.aio.Channel, patience: Patience) -> None:
        self._stub: pipeline_service_pb2_grpc.PipelineServiceAsyncStub = pipeline_service_pb2_grpc.PipelineServiceStub(
            channel
        )
        self._patience = patience

    async def list(self, study: str | Study = "", states: Iterable[State] = ()) -> list[Run]:
        """Runs, newest first; of one study, in some states, or all."""
        request = pipeline_service_pb2.ListRunsRequest(
            study=_study_name(study),
            states=[pipeline_pb2.State.Value(f"STATE_{state}") for state in states],
            page_size=1000,
        )
        runs: list[Run] = []
        while True:
            with domain_errors("pipeline"):
                page = await self._stub.ListRuns(request)
            runs.extend(conversion.run(item) for item in page.runs)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return runs

    async def get(self, run: str | Run) -> Run:
        """One run."""
        with domain_errors(_run_name(run)):
            answer = await self._stub.GetRun(pipeline_service_pb2.GetRunRequest(name=_run_name(run)))
        return conversion.run(answer.run)

    async def watch(self, target: str | Run | Study) -> AsyncGenerator[Run]:
        """A run with every change of it, until it has ended.

        Parameters
        ----------
        target
            A run, or a study: then its newest run, which may still have to start. The end of that run ends the watch.

        Raises
        ------
        NotFound
            If there is no such run, or the study gets none while the patience lasts.
        """
        if isinstance(target, Study) or (isinstance(target, str) and target.startswith("studies/")):
            name = (await self._newest_of(_study_name(target))).name
        else:
            name = _run_name(target)
        attempts = Attempts(self._patience)
        run: Run | None = None
        while True:
            call = self._stub.WatchRun(pipeline_service_pb2.WatchRunRequest(name=name))
            try:
                with domain_errors(name):
                    async for message in call:
                        attempts.succeed()
                        run = conversion.run(message.run)
                        yield run
                        if run.has_ended:
                            return
                if run is not None and run.state == "UNSPECIFIED":
                    return  # a state of a later release, which the pipeline takes for an end
                raise Unavailable("The pipeline ended the watch before the run has ended", where=name)
            except ImagingError as error:
                await attempts.fail(error)
            finally:
                call.cancel()

    async def cancel(self, run: str | Run) -> Run:
        """End a run and the stage that it is in."""
        with domain_errors(_run_name(run)):
            answer = await self._stub.CancelRun(pipeline_service_pb2.CancelRunRequest(name=_run_name(run)))
        return conversion.run(answer.run)

    async def retry(self, run: str | Run) -> Run:
        """Take a failed or cancelled run up again at the stage where it ended."""
        with domain_errors(_run_name(run)):
            answer = await self._stub.RetryRun(pipeline_service_pb2.RetryRunRequest(name=_run_name(run)))
        return conversion.run(answer.run)

    async def create(self, study: str | Study, recipe: str = "") -> Run:
        """Start a run by hand; runs of complete studies start by themselves."""
        request = pipeline_service_pb2.CreateRunRequest(study=_study_name(study), recipe=recipe)
        with domain_errors(_study_name(study)):
            answer = await self._stub.CreateRun(request)
        return conversion.run(answer.run)

    async def _newest_of(self, study: str) -> Run:
        """The newest run of a study, waited for as long as the patience lasts."""
        attempts = Attempts(self._patience)
        began = time.monotonic()
        while True:
            try:
                runs = await self.list(study)
            except ImagingError as error:
                await attempts.fail(error)
                continue
            if runs:
                return runs[0]
            if time.monotonic() - began > self._patience.give_up_after.total_seconds():
                raise NotFound(
                    "The study has no run",
                    where=study,
                    hint="A run starts when a study is complete: by `imaging store --complete`, or by its quiet time.",
                )
            await asyncio.sleep(0.25)


def _run_name(run: str | Run) -> str:
    name = run if isinstance(run, str) else run.name
    return name if "/" in name else f"runs/{name}"


def _study_name(study: str | Study) -> str:
    name = study if isinstance(study, str) else study.name
    return name if "/" in name or not name else f"studies/{name}"
