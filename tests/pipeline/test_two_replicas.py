"""Two replicas of the pipeline on one PostgreSQL database: one is on duty, both are asked, nothing is done twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from imaging.database import Database
from imaging.database.lease import Lease, LeaseLost
from imaging.pipeline.v1 import pipeline_pb2
from pipeline_svc.runs.runs import Runs
from pipeline_svc.schema import LEASE, TABLES
from tests.database.databases import Databases
from tests.pipeline.pipeline_client import ENDED, PipelineClient, Start
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_stages import Gate
from tests.pipeline.scripted_storage import ct_series

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)

STUDY = "studies/1.2.3"


@pytest.fixture
async def both(scripted: Scripted, start_pipeline: Start) -> tuple[PipelineClient, PipelineClient]:
    """The first is on duty."""
    first = await start_pipeline()
    scripted.storage.complete("studies/1.0", ct_series("studies/1.0", slices=3, body_part="KNEE"))
    await first.ended_run_of("studies/1.0")
    second = await start_pipeline(beside=True)
    await second.wait_until_serving()
    return first, second


async def test_each_study_has_one_run_and_each_stage_one_effect(
    scripted: Scripted, both: tuple[PipelineClient, PipelineClient]
) -> None:
    for number in range(1, 9):
        scripted.storage.complete(f"studies/1.{number}", ct_series(f"studies/1.{number}"))
    for number in range(1, 9):
        ended = await both[number % 2].ended_run_of(f"studies/1.{number}")
        assert ended.state == pipeline_pb2.STATE_SUCCEEDED
        assert [stage.attempts for stage in ended.stages] == [1] * len(ended.stages)
    assert len(await both[1].runs()) == 9
    assert set(scripted.stages.effects.values()) == {1}


async def test_the_other_attaches_to_the_stages_of_one_that_ends(
    scripted: Scripted, both: tuple[PipelineClient, PipelineClient]
) -> None:
    gate = Gate()
    scripted.stages.behaviour["lung-emphysema"] = gate
    scripted.storage.complete(STUDY)
    await gate.reached.wait()
    run = await both[1].run_of(STUDY)
    await both[0].stop()
    attached = await both[1].watch_until(run.name, lambda run: any(stage.attempts == 2 for stage in run.stages))
    assert attached.state == pipeline_pb2.STATE_RUNNING
    gate.open.set()
    assert (await both[1].watch_until(run.name)).state == pipeline_pb2.STATE_SUCCEEDED
    assert gate.entered == 1
    assert set(scripted.stages.effects.values()) == {1}
    assert not scripted.stages.cancelled


async def test_a_run_that_is_asked_for_at_one_is_carried_by_the_other(
    scripted: Scripted, both: tuple[PipelineClient, PipelineClient]
) -> None:
    made = await asyncio.gather(
        *(pipeline.call("CreateRun", study="studies/1.0", recipe="ct-general") for pipeline in both * 3)
    )
    assert len({answer.run.name for answer in made}) == 1, "asked for at both at the same time, it is one"
    assert (await both[1].watch_until(made[0].run.name)).state in ENDED


async def test_a_run_that_is_cancelled_at_one_ends_at_the_other_and_at_its_service(
    scripted: Scripted, both: tuple[PipelineClient, PipelineClient]
) -> None:
    gate = Gate()
    scripted.stages.behaviour["lung-emphysema"] = gate
    scripted.storage.complete(STUDY)
    await gate.reached.wait()
    run = await both[0].run_of(STUDY)
    cancelled = (await both[1].call("CancelRun", name=run.name)).run
    assert cancelled.state == pipeline_pb2.STATE_CANCELLED
    await scripted.stages.cancel_arrived.wait()
    again = (await both[1].call("RetryRun", name=run.name)).run
    gate.open.set()
    assert (await both[0].watch_until(again.name)).state == pipeline_pb2.STATE_SUCCEEDED
    assert set(scripted.stages.effects.values()) == {1}


@asynccontextmanager
async def opened(databases: Databases, folder: Path) -> AsyncIterator[Database]:
    database = Database.open(databases.access(folder), TABLES)
    try:
        yield database
    finally:
        await database.close()


async def test_the_lease_of_one_that_fell_silent_is_taken_and_it_records_nothing_more(
    tmp_path: Path, databases: Databases
) -> None:
    async with AsyncExitStack() as stack:
        ours, others = [await stack.enter_async_context(opened(databases, tmp_path)) for _ in range(2)]
        options = {"time_to_live": timedelta(seconds=0.3), "look_every": timedelta(seconds=0.05)}
        silent, other = Lease(ours, LEASE, **options), Lease(others, LEASE, **options)
        await silent.take()
        runs = Runs(ours, on_duty=silent.require)
        await runs.advance(7)
        await other.take()  # comes back when the time of the first is over
        with pytest.raises(LeaseLost):
            await runs.advance(3)
        with pytest.raises(LeaseLost):
            await silent.keep()
        assert await runs.cursor() == 7
        await Runs(others, on_duty=other.require).advance(8)


async def test_nobody_takes_the_lease_before_what_was_begun_under_it_is_committed(
    tmp_path: Path, databases: Databases
) -> None:
    async with AsyncExitStack() as stack:
        ours, others = [await stack.enter_async_context(opened(databases, tmp_path)) for _ in range(2)]
        options = {"time_to_live": timedelta(seconds=0.05), "look_every": timedelta(seconds=0.05)}
        first, second = Lease(ours, LEASE, **options), Lease(others, LEASE, **options)
        await first.take()
        begun, go_on = threading.Event(), threading.Event()

        def slow(connection: Connection) -> None:
            first.require(connection)
            begun.set()
            assert go_on.wait(20)

        writing = asyncio.create_task(ours.write(slow))
        await asyncio.to_thread(begun.wait)
        taking = asyncio.create_task(second.take())
        done, _ = await asyncio.wait({taking}, timeout=0.5)
        assert not done
        go_on.set()
        await writing
        await taking
        with pytest.raises(LeaseLost):
            await ours.write(first.require)


async def test_a_lease_that_is_given_back_is_taken_at_once_and_one_that_is_kept_is_not(
    tmp_path: Path, databases: Databases
) -> None:
    async with AsyncExitStack() as stack:
        ours, others = [await stack.enter_async_context(opened(databases, tmp_path)) for _ in range(2)]
        look_every = timedelta(seconds=0.05)
        first = Lease(ours, LEASE, time_to_live=timedelta(seconds=1), look_every=look_every)
        second = Lease(others, LEASE, time_to_live=timedelta(hours=1), look_every=look_every)
        await first.take()
        keeping, taking = asyncio.create_task(first.keep()), asyncio.create_task(second.take())
        done, _ = await asyncio.wait({taking}, timeout=2)  # twice the time that it would live
        assert not done
        keeping.cancel()
        await first.give_back()
        await taking
        await first.give_back()
        with pytest.raises(LeaseLost):
            await ours.write(first.require)
        await others.write(second.require)
