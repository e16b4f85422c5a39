"""The pipeline service ends at any moment and is started again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from imaging.analysis.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from imaging.client.storage import StorageClient
from imaging.database import Database, DatabaseAccess
from imaging.pipeline.v1 import pipeline_pb2
from imaging.rpc.channel import open_channel
from imaging.rpc.replicas import Replicas
from imaging.stage.v1.stage_pb2 import Progress
from pipeline_svc.alerts.alert_table import AlertTable
from pipeline_svc.alerts.run_alerts import RunAlerts
from pipeline_svc.recipes.book import load_recipe_book
from pipeline_svc.runs.carrier import RunCarrier
from pipeline_svc.runs.control import RunControl
from pipeline_svc.runs.embedded_engine import EmbeddedEngine
from pipeline_svc.runs.record import GOING, RunRecord, StageOutcome
from pipeline_svc.runs.runs import Runs
from pipeline_svc.schema import TABLES
from pipeline_svc.stages.by_kind import stage_services
from pipeline_svc.stages.stage_call import StageCalls
from pipeline_svc.stages.stage_service import StageService, StageTask
from pipeline_svc.watcher import Watcher
from tests.database.databases import Databases
from tests.pipeline.pipeline_client import Start
from tests.pipeline.scripted_services import Scripted, scripted_services
from tests.pipeline.scripted_stages import Gate
from tests.pipeline.scripted_storage import ct_series

T = TypeVar("T")

STUDY = "studies/1.2.3"


async def test_a_restart_discards_nothing(scripted: Scripted, start_pipeline: Start) -> None:
    gate = Gate()
    scripted.stages.behaviour["lung-emphysema"] = gate
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    await gate.reached.wait()
    before = await pipeline.run_of(STUDY)
    pipeline = await start_pipeline()
    gate.open.set()
    after = await pipeline.ended_run_of(STUDY)
    assert after.name == before.name
    assert after.state == pipeline_pb2.STATE_SUCCEEDED
    assert gate.entered == 1, "the call after the restart attached to the work of the one before"
    assert set(scripted.stages.effects.values()) == {1}
    assert not scripted.stages.cancelled, "a restart is no cancel"


async def test_changes_during_a_restart_get_their_runs(scripted: Scripted, start_pipeline: Start) -> None:
    pipeline = await start_pipeline()
    scripted.storage.complete("studies/1.1")
    await pipeline.ended_run_of("studies/1.1")
    await pipeline.stop()
    scripted.storage.complete("studies/1.2")
    pipeline = await start_pipeline()
    assert (await pipeline.ended_run_of("studies/1.2")).state == pipeline_pb2.STATE_SUCCEEDED
    assert len(await pipeline.runs()) == 2


async def test_the_bug_that_skips_the_cursor_is_one(
    scripted: Scripted, start_pipeline: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = await start_pipeline()
    scripted.storage.complete("studies/1.1")
    await pipeline.ended_run_of("studies/1.1")
    await pipeline.stop()
    monkeypatch.setenv("IMAGING_TEST_BUG", "skip-cursor")
    scripted.storage.complete("studies/1.2")
    scripted.storage.watch_begun.clear()
    pipeline = await start_pipeline()
    await scripted.storage.watch_begun.wait()
    scripted.storage.complete("studies/1.3")
    await pipeline.ended_run_of("studies/1.3")
    assert {run.study for run in await pipeline.runs()} == {"studies/1.1", "studies/1.3"}


async def test_a_log_that_was_cut_off_is_made_up_for_by_looking_at_every_study(
    scripted: Scripted, start_pipeline: Start
) -> None:
    for number in range(3):
        scripted.storage.complete(f"studies/1.{number}")
    scripted.storage.oldest_revision = 3
    pipeline = await start_pipeline()
    for number in range(3):
        await pipeline.ended_run_of(f"studies/1.{number}")
    scripted.storage.complete("studies/1.9")
    await pipeline.ended_run_of("studies/1.9")
    assert len(await pipeline.runs()) == 4


async def test_a_storage_that_was_set_up_anew_is_followed_from_its_beginning(
    scripted: Scripted, start_pipeline: Start
) -> None:
    pipeline = await start_pipeline()
    for number in range(3):
        scripted.storage.complete(f"studies/1.{number}")
        await pipeline.ended_run_of(f"studies/1.{number}")
    await pipeline.stop()
    scripted.storage.log.clear()
    scripted.storage.studies.clear()
    scripted.storage.complete("studies/1.0")
    pipeline = await start_pipeline()
    before = {run.name for run in await pipeline.runs()}
    again = await pipeline.run_of("studies/1.0", besides=before)
    assert (await pipeline.watch_until(again.name)).state == pipeline_pb2.STATE_SUCCEEDED


async def test_a_pipeline_that_lost_its_database_asks_for_the_same_requests_again(
    scripted: Scripted, start_pipeline: Start, tmp_path: Path, databases: Databases
) -> None:
    pipeline = await start_pipeline()
    scripted.storage.complete("studies/1.0")
    first = await pipeline.ended_run_of("studies/1.0")
    scripted.storage.delete("studies/1.0")
    scripted.storage.complete("studies/1.0")
    again = await pipeline.watch_until((await pipeline.run_of("studies/1.0", besides={first.name})).name)
    assert again.name != first.name
    await pipeline.stop()
    databases.lose(tmp_path, "pipeline")
    pipeline = await start_pipeline()
    one = await pipeline.run_of("studies/1.0", besides={first.name})
    assert (await pipeline.watch_until(one.name)).state == pipeline_pb2.STATE_SUCCEEDED
    assert one.name == again.name
    assert set(scripted.stages.effects.values()) == {1}


async def test_a_storage_that_is_away_is_waited_for(scripted: Scripted, start_pipeline: Start) -> None:
    pipeline = await start_pipeline()
    await pipeline.wait_until_serving()
    await scripted.stop("storage")
    scripted.storage.complete(STUDY)
    await scripted.start("storage")
    assert (await pipeline.ended_run_of(STUDY)).state == pipeline_pb2.STATE_SUCCEEDED


class Fate:
    """Counts what happens in one life of the service, and stops it dead at a chosen event."""

    def __init__(self, dies_at: int | None) -> None:
        self._left = dies_at
        self.died = asyncio.Event()

    async def event(self) -> None:
        """One more thing happened; after death nothing comes back from here."""
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.died.set()
        if self.died.is_set():
            await asyncio.Event().wait()


class MortalDatabase(Database):
    """A database whose process may die just before and just after each commit."""

    fate: Fate

    async def write(self, function: Callable[[Connection], T]) -> T:
        await self.fate.event()
        value = await super().write(function)
        await self.fate.event()
        return value


class MortalService:
    """A stage service whose caller may die before the call and at each message."""

    def __init__(self, service: StageService, fate: Fate) -> None:
        self._service = service
        self._fate = fate

    async def choose(self, other_than: str = "") -> str:
        return await self._service.choose(other_than)

    async def call(self, task: StageTask, timeout_s: float) -> AsyncIterator[Progress | StageOutcome]:
        await self._fate.event()
        async for item in self._service.call(task, timeout_s):
            await self._fate.event()
            yield item

    async def cancel(self, request_id: str, replica: str) -> None:
        await self._fate.event()
        await self._service.cancel(request_id, replica)


@asynccontextmanager
async def life(scripted: Scripted, folder: Path, fate: Fate) -> AsyncIterator[Runs]:
    """One life of the pipeline service on the same database; it ends without any farewell."""
    database = MortalDatabase.open(DatabaseAccess(f"sqlite:///{folder}/p.sqlite"), TABLES)
    database.fate = fate
    channel = open_channel(scripted.addresses["storage"])
    storage = StorageClient(channel)
    runs, book = Runs(database), load_recipe_book(None)
    services = stage_services(
        *(Replicas(scripted.addresses[name]) for name in ("processing", "analysis", "reporting")),
        Replicas("127.0.0.1:1"),
    )
    calls = StageCalls({kind: MortalService(service, fate) for kind, service in services.items()})
    alerts = RunAlerts(AnalysisServiceStub(channel), AlertTable(database))
    deadline = timedelta(minutes=1)
    carrier = RunCarrier(runs=runs, storage=storage, book=book, calls=calls, alerts=alerts, deadline=deadline)
    engine = EmbeddedEngine(runs, carrier.carry, max_parallel_runs=2)
    watcher = Watcher(storage=storage, runs=runs, book=book, engine=engine, control=RunControl(runs, engine, calls))
    living = [asyncio.create_task(engine.run()), asyncio.create_task(watcher.watch())]
    try:
        yield runs
    finally:
        for task in living:
            task.cancel()
        await asyncio.wait(living)
        await channel.close()
        await database.close()


async def all_ended(runs: Runs, expected: int) -> list[RunRecord]:
    """The runs, when there are so many and none goes on."""
    while True:
        found = await runs.page()
        if len(found) >= expected and not any(run.state in GOING for run in found):
            return found
        await asyncio.sleep(0.02)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deaths=st.lists(st.integers(0, 30), min_size=1, max_size=4), supersede=st.booleans())
def test_whenever_it_dies_each_stage_of_each_run_has_its_effect_once(deaths: list[int], supersede: bool) -> None:
    async def scenario(folder: Path) -> None:
        async with scripted_services() as scripted:
            scripted.storage.complete("studies/1", ct_series("studies/1", slices=3, body_part="KNEE"))
            scripted.storage.complete("studies/2", ct_series("studies/2", slices=20))
            for dies_at in deaths:
                fate = Fate(dies_at)
                async with life(scripted, folder, fate) as runs:
                    ends = asyncio.create_task(all_ended(runs, 2))
                    dies = asyncio.create_task(fate.died.wait())
                    await asyncio.wait({ends, dies}, return_when=asyncio.FIRST_COMPLETED)
                    ends.cancel()
                    dies.cancel()
            if supersede:
                scripted.storage.complete("studies/2")
            async with life(scripted, folder, Fate(None)) as runs:
                found = await all_ended(runs, 3 if supersede else 2)
                assert await runs.cursor() == len(scripted.storage.log)
        of_version = Counter((run.study, run.manifest_version) for run in found)
        assert of_version == {("studies/1", 1): 1, ("studies/2", 1): 1, **({("studies/2", 2): 1} if supersede else {})}
        newest = {(run.study, run.manifest_version): run for run in found}
        for key, run in newest.items():
            is_older = supersede and key == ("studies/2", 1)
            assert bool(run.superseded_by) == is_older
            if not is_older:
                assert run.state == pipeline_pb2.STATE_SUCCEEDED, run.reason
                assert [scripted.stages.effects[stage.request_id] for stage in run.stages] == [1] * len(run.stages)
        assert set(scripted.stages.effects.values()) == {1}

    with TemporaryDirectory() as folder:
        asyncio.run(asyncio.wait_for(scenario(Path(folder)), 60))
