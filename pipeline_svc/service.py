"""The wiring of the pipeline service."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from imaging.analysis.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from imaging.client.storage import StorageClient
from imaging.database import Database
from imaging.database.lease import Lease
from imaging.pipeline.v1.pipeline_service_pb2_grpc import add_PipelineServiceServicer_to_server
from imaging.rpc.channel import open_channel
from imaging.rpc.replicas import Replicas
from imaging.rpc.server import RpcServer
from imaging.settings import ServiceName, Settings
from imaging.settings.database import database_access
from imaging.work.try_again import TryAgain
from pipeline_svc.alerts.alert_table import AlertTable
from pipeline_svc.alerts.run_alerts import RunAlerts
from pipeline_svc.alerts.webhooks import WebhookDelivery, check_webhooks
from pipeline_svc.duty import Duty
from pipeline_svc.readiness import Readiness
from pipeline_svc.recipes.book import load_recipe_book
from pipeline_svc.recipes.check import ask_capabilities
from pipeline_svc.runs.carrier import RunCarrier
from pipeline_svc.runs.control import RunControl
from pipeline_svc.runs.embedded_engine import EmbeddedEngine
from pipeline_svc.runs.metrics import RunMetrics
from pipeline_svc.runs.runs import Runs
from pipeline_svc.schema import LEASE, TABLES
from pipeline_svc.servicer import PipelineServicer
from pipeline_svc.stages.by_kind import stage_services
from pipeline_svc.stages.stage_call import StageCalls
from pipeline_svc.watcher import Watcher

_log = logging.getLogger(__name__)

SERVICE: Final = "imaging.pipeline.v1.PipelineService"


class PipelineService:
    """The running service: its database, its duty, its server."""

    def __init__(self, settings: Settings) -> None:
        check_webhooks(settings.pipeline.webhooks)
        book = load_recipe_book(settings.pipeline.recipes_dir)
        listen, how = settings.listen("pipeline"), settings.channel()
        processing = open_channel(settings.processing.address, how)
        analysis = open_channel(settings.analysis.address, how)
        reporting = open_channel(settings.reporting.address, how)
        gateway = open_channel(settings.gateway.address, how)
        storage = open_channel(settings.storage.address, how)
        self._channels = [processing, analysis, reporting, gateway, storage]
        self._storage = StorageClient(storage)
        self._database = Database.open(database_access(settings, "pipeline"), TABLES)
        own = settings.pipeline
        again = TryAgain(
            first_wait=timedelta(seconds=own.webhook_again_seconds),
            give_up_after=timedelta(hours=own.webhook_give_up_hours),
        )
        lease = Lease(self._database, LEASE)
        alerts = AlertTable(self._database, own.webhooks, again, lease.require)
        look_every = timedelta(seconds=min(2.0, own.webhook_again_seconds))
        self._webhooks = WebhookDelivery(alerts, own.webhooks, self._storage, look_every)
        runs = Runs(self._database, on_duty=lease.require)
        called: tuple[ServiceName, ...] = ("processing", "analysis", "reporting", "gateway")
        replicas = (Replicas(settings.address(name), how) for name in called)
        calls = StageCalls(stage_services(*replicas))
        carrier = RunCarrier(
            runs=runs,
            storage=self._storage,
            book=book,
            calls=calls,
            alerts=RunAlerts(AnalysisServiceStub(analysis), alerts),
            deadline=timedelta(minutes=settings.pipeline.run_deadline_minutes),
        )
        engine = EmbeddedEngine(runs, carrier.carry, max_parallel_runs=settings.pipeline.max_parallel_runs)
        control = RunControl(runs, engine, calls)
        asked = gateway if book.sends else None
        self._readiness = Readiness(book, lambda: ask_capabilities(processing, analysis, reporting, asked))
        self._metrics = RunMetrics(self._database)
        watcher = Watcher(storage=self._storage, runs=runs, book=book, engine=engine, control=control)
        self._duty = Duty(lease, engine, watcher)
        servicer = PipelineServicer(
            book=book,
            runs=runs,
            storage=self._storage,
            engine=engine,
            control=control,
            readiness=self._readiness,
            alerts=alerts,
        )
        self._server = RpcServer(
            listen, {SERVICE: lambda server: add_PipelineServiceServicer_to_server(servicer, server)}
        )
        self._work: asyncio.Task[None] | None = None
        self._beside: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Listen; the port. Health says NOT_SERVING until the recipes are checked against the other services."""
        port = await self._server.start(serving=False)
        self._work = asyncio.create_task(self._run(), name="pipeline")
        self._beside = [
            asyncio.create_task(self._metrics.run(), name="run-metrics"),
            asyncio.create_task(self._webhooks.run(), name="webhooks"),
        ]
        return port

    async def stop(self, grace: timedelta) -> None:
        """Take up nothing more and let go of the runs, which go on at the next start; then close everything."""
        await self._server.set_serving(False)
        ending = {task for task in (self._work, *self._beside) if task is not None}
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        await self._server.stop(timedelta(seconds=1))
        await self._storage.close()
        for channel in self._channels:
            await channel.close()
        await self._database.close()

    async def _run(self) -> None:
        try:
            await self._take_work()
        except Exception:
            _log.exception("the service cannot take work any more")
            await self._server.set_serving(False)
            raise

    async def _take_work(self) -> None:
        await self._readiness.wait()
        await self._server.set_serving(True)
        await self._duty.run()


def build(settings: Settings) -> PipelineService:
    """The service, wired and not yet started.

    Raises
    ------
    SettingsInvalid
        If a recipe is wrong by itself, with file, line and a hint; or a webhook names a file that is no good.
    FailedPrecondition, Unavailable
        If the database cannot be used.
    """
    return PipelineService(settings)
