"""Runs that end before their stages do: superseded, cancelled, past their deadline, or without their study."""

from __future__ import annotations

import pytest

from imaging.errors import FailedPrecondition
from imaging.pipeline.v1 import pipeline_pb2
from tests.pipeline.pipeline_client import Start
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_stages import Gate

STUDY = "studies/1.2.3"


async def test_a_late_instance_supersedes_the_going_run(scripted: Scripted, start_pipeline: Start) -> None:
    gate = Gate()
    scripted.stages.behaviour["lung-emphysema"] = gate
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    await gate.reached.wait()
    scripted.storage.complete(STUDY)
    older = await pipeline.ended_run_of(STUDY, 1)
    gate.open.set()
    newer = await pipeline.ended_run_of(STUDY, 2)
    assert older.state == pipeline_pb2.STATE_CANCELLED
    assert "superseded by manifest version 2" in older.reason
    assert older.superseded_by == newer.name
    assert scripted.stages.cancelled == [older.stages[3].request_id]
    assert older.stages[3].state == pipeline_pb2.STATE_CANCELLED
    assert newer.state == pipeline_pb2.STATE_SUCCEEDED
    with pytest.raises(FailedPrecondition, match="superseded by"):
        await pipeline.call("RetryRun", name=older.name)


async def test_a_finished_run_names_its_successor_and_stays_succeeded(
    scripted: Scripted, start_pipeline: Start
) -> None:
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    await pipeline.ended_run_of(STUDY, 1)
    scripted.storage.complete(STUDY)
    newer = await pipeline.ended_run_of(STUDY, 2)
    older = await pipeline.run_of(STUDY, 1)
    assert (older.state, older.superseded_by) == (pipeline_pb2.STATE_SUCCEEDED, newer.name)
    assert newer.superseded_by == ""


async def test_a_user_cancels_a_run_and_the_stage_that_it_is_in(scripted: Scripted, start_pipeline: Start) -> None:
    gate = Gate()
    scripted.stages.behaviour["lung-emphysema"] = gate
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    await gate.reached.wait()
    name = (await pipeline.run_of(STUDY)).name
    cancelled = (await pipeline.call("CancelRun", name=name)).run
    assert cancelled.state == pipeline_pb2.STATE_CANCELLED
    assert scripted.stages.cancelled == [cancelled.stages[3].request_id]
    assert (await pipeline.call("CancelRun", name=name)).run == cancelled
    gate.open.set()
    await pipeline.call("RetryRun", name=name)
    assert (await pipeline.watch_until(name)).state == pipeline_pb2.STATE_SUCCEEDED
    assert set(scripted.stages.effects.values()) == {1}


async def test_the_deadline_of_a_run_ends_it_with_its_stage(scripted: Scripted, start_pipeline: Start) -> None:
    gate = Gate()
    scripted.stages.behaviour["image-statistics"] = gate
    pipeline = await start_pipeline(run_deadline_minutes=0.5 / 60)
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert run.state == pipeline_pb2.STATE_CANCELLED
    assert "deadline" in run.reason
    await scripted.stages.cancel_arrived.wait()
    assert scripted.stages.cancelled == [run.stages[2].request_id]


async def test_a_deleted_study_ends_its_run_and_may_come_again(scripted: Scripted, start_pipeline: Start) -> None:
    gate = Gate()
    scripted.stages.behaviour["image-statistics"] = gate
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    await gate.reached.wait()
    scripted.storage.delete(STUDY)
    ended = await pipeline.ended_run_of(STUDY)
    assert (ended.state, ended.reason) == (pipeline_pb2.STATE_CANCELLED, "the study was deleted")
    gate.open.set()
    scripted.storage.complete(STUDY)
    newest = await pipeline.run_of(STUDY, besides=[ended.name])
    assert (await pipeline.watch_until(newest.name)).state == pipeline_pb2.STATE_SUCCEEDED
