"""Calls about runs: created where there is none, watched, listed in pages, refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from imaging.errors import FailedPrecondition, InvalidArgument, NotFound
from imaging.pipeline.v1 import pipeline_pb2
from imaging.storage.v1 import storage_pb2
from tests.pipeline.pipeline_client import Start
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_stages import Gate
from tests.pipeline.scripted_storage import ct_series

STUDY = "studies/1.2.3"


async def test_creating_a_run_that_is_there_gives_it_back(scripted: Scripted, start_pipeline: Start) -> None:
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert (await pipeline.call("CreateRun", study=STUDY)).run == run
    assert (await pipeline.call("CreateRun", study=STUDY, recipe="ct-chest")).run == run
    other = (await pipeline.call("CreateRun", study=STUDY, recipe="general")).run
    assert (await pipeline.watch_until(other.name)).recipe == "general"
    assert len(await pipeline.runs(STUDY)) == 2


async def test_a_run_has_a_trace_of_its_own_where_its_manifest_has_none(
    scripted: Scripted, start_pipeline: Start
) -> None:
    pipeline = await start_pipeline()
    await pipeline.wait_until_serving()
    scripted.storage.series[STUDY] = [ct_series(STUDY)]
    scripted.storage.studies[STUDY] = storage_pb2.Study(name=STUDY, manifest=storage_pb2.Manifest(version=1))
    run = (await pipeline.call("CreateRun", study=STUDY)).run
    assert len(run.trace_id) == 32
    assert int(run.trace_id, 16) != 0
    assert (await pipeline.watch_until(run.name)).trace_id == run.trace_id


async def test_a_watched_run_shows_the_progress_of_its_stage(scripted: Scripted, start_pipeline: Start) -> None:
    gate = Gate()
    scripted.stages.behaviour["lung-emphysema"] = gate
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    name = (await pipeline.run_of(STUDY)).name
    seen = await pipeline.watch_until(name, lambda run: run.stages[3].progress.done == 1 if run.stages else False)
    assert seen.stages[3].progress.message == "working on lung-emphysema"
    assert seen.stages[3].state == pipeline_pb2.STATE_RUNNING
    gate.open.set()
    ended = await pipeline.watch_until(name)
    assert not ended.stages[3].HasField("progress")


async def test_pages_of_runs_hold_each_run_once(scripted: Scripted, start_pipeline: Start) -> None:
    pipeline = await start_pipeline()
    studies = [f"studies/1.2.{number}" for number in range(5)]
    for study in studies:
        scripted.storage.complete(study)
    for study in studies:
        await pipeline.ended_run_of(study)
    seen: list[str] = []
    token = ""
    while True:
        page = await pipeline.call("ListRuns", page_size=2, page_token=token)
        seen += [run.study for run in page.runs]
        token = page.next_page_token
        if not token:
            break
    assert seen == studies[::-1]
    failed = await pipeline.call("ListRuns", states=[pipeline_pb2.STATE_FAILED])
    assert not failed.runs


async def test_requests_that_cannot_be_served_say_why(scripted: Scripted, start_pipeline: Start) -> None:
    pipeline = await start_pipeline()
    await pipeline.wait_until_serving()
    scripted.storage.studies[STUDY] = storage_pb2.Study(name=STUDY)
    cases: list[tuple[str, dict[str, Any], type[Exception], str]] = [
        ("CreateRun", {"study": STUDY}, FailedPrecondition, "never complete"),
        ("CreateRun", {"study": "studies/9"}, NotFound, "no such study"),
        ("CreateRun", {"study": "9"}, InvalidArgument, "name of a study"),
        ("GetRun", {"name": "runs/9"}, NotFound, "no such run"),
        ("CancelRun", {"name": "runs/9"}, NotFound, "no such run"),
        ("RetryRun", {"name": "9"}, InvalidArgument, "name of a run"),
        ("ListRuns", {"page_token": "%%%"}, InvalidArgument, "page token"),
        ("ListRuns", {"page_size": -1}, InvalidArgument, "page"),
        ("GetRecipe", {"name": "ct-chst"}, NotFound, "did you mean 'ct-chest'"),
    ]
    for method, fields, error, words in cases:
        with pytest.raises(error, match=words):
            await pipeline.call(method, **fields)
    with pytest.raises(NotFound, match="no such run"):
        await pipeline.watch_until("runs/9")
