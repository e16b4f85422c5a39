"""The handlers of `imaging.pipeline.v1`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from imaging.errors import FailedPrecondition, InvalidArgument
from imaging.pipeline.v1 import pipeline_pb2, pipeline_service_pb2, pipeline_service_pb2_grpc
from imaging.rpc.page_token import decode_token, encode_token, page_size, query_digest
from pipeline_svc.alerts.alert_table import AlertTable
from pipeline_svc.readiness import Readiness
from pipeline_svc.recipes.book import RecipeBook
from pipeline_svc.recipes.parse_recipe import LoadedRecipe
from pipeline_svc.runs.control import RunControl
from pipeline_svc.runs.creation import new_run, read_series
from pipeline_svc.runs.runs import LOOK_AGAIN_S, Runs

if TYPE_CHECKING:
    from imaging.client.storage import StorageClient
    from pipeline_svc.runs.engine import RunEngine


Context = grpc.aio.ServicerContext[Any, Any]


class PipelineServicer(pipeline_service_pb2_grpc.PipelineServiceServicer):
    """Recipes, runs and alerts, as the contract tells them."""

    def __init__(
        self,
        *,
        book: RecipeBook,
        runs: Runs,
        storage: StorageClient,
        engine: RunEngine,
        control: RunControl,
        readiness: Readiness,
        alerts: AlertTable,
    ) -> None:
        self._alerts = alerts
        self._book = book
        self._runs = runs
        self._storage = storage
        self._engine = engine
        self._control = control
        self._readiness = readiness

    async def ListRecipes(
        self, request: pipeline_service_pb2.ListRecipesRequest, context: Context
    ) -> pipeline_service_pb2.ListRecipesResponse:
        """The recipes in the order in which they are tried."""
        return pipeline_service_pb2.ListRecipesResponse(recipes=[_recipe_message(loaded) for loaded in self._book])

    async def GetRecipe(
        self, request: pipeline_service_pb2.GetRecipeRequest, context: Context
    ) -> pipeline_service_pb2.GetRecipeResponse:
        """One recipe."""
        return pipeline_service_pb2.GetRecipeResponse(recipe=_recipe_message(self._book.get(request.name)))

    async def CreateRun(
        self, request: pipeline_service_pb2.CreateRunRequest, context: Context
    ) -> pipeline_service_pb2.CreateRunResponse:
        """The run of the study's newest manifest version and the recipe, new or already there."""
        self._readiness.require()
        if not request.study.startswith("studies/"):
            raise InvalidArgument("A run needs the name of a study", where="study", hint="Give studies/{uid}.")
        study = await self._storage.get_study(request.study)
        if study.manifest.version == 0:
            raise FailedPrecondition(
                "The study was never complete",
                where=request.study,
                hint="Send all of it and call CompleteStudy, or wait for the quiet time.",
            )
        series = await read_series(self._storage, request.study)
        with new_run(
            self._book,
            study,
            series,
            manifest_version=study.manifest.version,
            manifest_traceparent=study.manifest.traceparent,
            asked_recipe=request.recipe,
        ) as new:
            run, ended = await self._runs.create(new)
        if run.is_going:
            self._engine.submit(run.id)
        await self._control.let_go(ended)
        return pipeline_service_pb2.CreateRunResponse(run=self._runs.message(run))

    async def GetRun(
        self, request: pipeline_service_pb2.GetRunRequest, context: Context
    ) -> pipeline_service_pb2.GetRunResponse:
        """One run."""
        return pipeline_service_pb2.GetRunResponse(run=await self._message(_run_id(request.name)))

    async def ListRuns(
        self, request: pipeline_service_pb2.ListRunsRequest, context: Context
    ) -> pipeline_service_pb2.ListRunsResponse:
        """A page of runs, newest first."""
        size = page_size(request.page_size)
        digest = query_digest(request.study, sorted(request.states))
        position = decode_token(request.page_token, digest, [int])
        before = int(position[0]) if position else None
        runs = await self._runs.page(request.study, request.states, before, size + 1)
        return pipeline_service_pb2.ListRunsResponse(
            runs=[self._runs.message(run) for run in runs[:size]],
            next_page_token=encode_token([runs[size - 1].number], digest) if len(runs) > size else "",
        )

    async def CancelRun(
        self, request: pipeline_service_pb2.CancelRunRequest, context: Context
    ) -> pipeline_service_pb2.CancelRunResponse:
        """The run, ended."""
        run_id = _run_id(request.name)
        await self._runs.get(run_id)
        await self._control.cancel(run_id, "cancelled by a user")
        return pipeline_service_pb2.CancelRunResponse(run=await self._message(run_id))

    async def RetryRun(
        self, request: pipeline_service_pb2.RetryRunRequest, context: Context
    ) -> pipeline_service_pb2.RetryRunResponse:
        """The run, going on."""
        self._readiness.require()
        run_id = _run_id(request.name)
        await self._control.retry(run_id)
        return pipeline_service_pb2.RetryRunResponse(run=await self._message(run_id))

    async def WatchRun(
        self, request: pipeline_service_pb2.WatchRunRequest, context: Context
    ) -> AsyncIterator[pipeline_service_pb2.WatchRunResponse]:
        """The run at every change, until it ends."""
        async with aclosing(self._runs.watch(_run_id(request.name))) as runs:
            async for run in runs:
                yield pipeline_service_pb2.WatchRunResponse(run=run)

    async def ListAlerts(
        self, request: pipeline_service_pb2.ListAlertsRequest, context: Context
    ) -> pipeline_service_pb2.ListAlertsResponse:
        """A page of alerts, newest first."""
        found, token = await self._alerts.page(request.study, request.open, request.page_size, request.page_token)
        return pipeline_service_pb2.ListAlertsResponse(alerts=found, next_page_token=token)

    async def WatchAlerts(
        self, request: pipeline_service_pb2.WatchAlertsRequest, context: Context
    ) -> AsyncIterator[pipeline_service_pb2.WatchAlertsResponse]:
        """Alerts as they come; any replica may raise them, so the table is looked at."""
        following = request.start_revision or await self._alerts.newest_revision() + 1
        while True:
            for alert in await self._alerts.since(following):
                yield pipeline_service_pb2.WatchAlertsResponse(alert=alert)
                following = alert.revision + 1
            await asyncio.sleep(LOOK_AGAIN_S)

    async def AcknowledgeAlert(
        self, request: pipeline_service_pb2.AcknowledgeAlertRequest, context: Context
    ) -> pipeline_service_pb2.AcknowledgeAlertResponse:
        """The alert, acknowledged."""
        return pipeline_service_pb2.AcknowledgeAlertResponse(alert=await self._alerts.acknowledge(request.name))

    async def RedeliverAlert(
        self, request: pipeline_service_pb2.RedeliverAlertRequest, context: Context
    ) -> pipeline_service_pb2.RedeliverAlertResponse:
        """The alert, told anew."""
        return pipeline_service_pb2.RedeliverAlertResponse(alert=await self._alerts.redeliver(request.name))

    async def _message(self, run_id: str) -> pipeline_pb2.Run:
        return self._runs.message(await self._runs.get(run_id))


def _recipe_message(loaded: LoadedRecipe) -> pipeline_pb2.Recipe:
    recipe = loaded.recipe
    return pipeline_pb2.Recipe(
        name=recipe.name,
        version=recipe.version,
        description=recipe.description,
        source=loaded.source,
        stages=[f"{stage.kind} {stage.uses}" for stage in recipe.stages],
    )


def _run_id(name: str) -> str:
    collection, _, run_id = name.partition("/")
    if collection != "runs" or not run_id:
        raise InvalidArgument("This is not the name of a run", where="name", hint="Names of runs are runs/{id}.")
    return run_id
