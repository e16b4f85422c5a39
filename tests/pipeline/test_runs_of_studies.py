"""Complete studies become runs, over real gRPC: the order, the retries, the ends."""

from __future__ import annotations

from typing import Any

import pytest

from imaging.errors import (
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    ImagingError,
    InvalidArgument,
    MeasurementRefused,
    NotFound,
    Overloaded,
    PixelDataInvalid,
    Unavailable,
)
from imaging.pipeline.v1 import pipeline_pb2
from imaging.stage.v1.stage_pb2 import Refusal, StageContext
from imaging.storage.v1 import storage_pb2
from imaging.work import Report
from tests.pipeline.pipeline_client import Start
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_stages import Gate, refuse_with
from tests.pipeline.scripted_storage import TRACEPARENT, ct_series

STUDY = "studies/1.2.3"
CHEST_STAGES = [
    "1-resample-isotropic",
    "2-denoise-median",
    "3-image-statistics",
    "4-lung-emphysema",
    "5-tissue-composition",
    "6-lesion-measurement",
    "7-ct-quantitative",
]


async def test_a_complete_chest_ct_gets_its_stages_in_order_and_a_report(
    scripted: Scripted, start_pipeline: Start
) -> None:
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert (run.state, run.recipe, run.reason) == (pipeline_pb2.STATE_SUCCEEDED, "ct-chest", "")
    assert [stage.name for stage in run.stages] == CHEST_STAGES
    assert {stage.state for stage in run.stages} == {pipeline_pb2.STATE_SUCCEEDED}
    assert scripted.stages.uses_called() == CHEST_STAGES
    assert set(scripted.stages.effects.values()) == {1}
    assert run.report == run.stages[-1].report != ""
    assert run.stages[2].finding_count == 1
    assert run.stages[0].series == "studies/1.2.3/series/1.2.3.1"
    assert run.stages[1].series == run.stages[0].series + ".9"
    assert run.trace_id == TRACEPARENT.split("-")[1]


async def test_every_stage_gets_the_run_as_its_effective_time_and_origin(
    scripted: Scripted, start_pipeline: Start
) -> None:
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert {context.effective_time.ToNanoseconds() for context in scripted.stages.calls} == {
        run.create_time.ToNanoseconds()
    }
    assert {context.run for context in scripted.stages.calls} == {run.name}
    assert [context.request_id for context in scripted.stages.calls] == [stage.request_id for stage in run.stages]


async def test_the_report_is_told_what_every_earlier_stage_did(scripted: Scripted, start_pipeline: Start) -> None:
    refusal = Refusal(subject="lung-emphysema", rule="SHARP_KERNEL", message="kernel B70f", hint="allow it")

    async def refuse(context: StageContext, report: Report) -> list[Refusal]:
        return [refusal]

    scripted.stages.behaviour["lung-emphysema"] = refuse
    scripted.stages.behaviour["denoise-median"] = refuse_with(MeasurementRefused("too few slices"))
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert run.state == pipeline_pb2.STATE_SUCCEEDED
    request = scripted.stages.requests["ct-quantitative"]
    told = {summary.stage: summary for summary in request.stages}
    assert list(told) == CHEST_STAGES[:-1]
    assert list(told["4-lung-emphysema"].refusals) == [refusal]
    assert [one.rule for one in told["2-denoise-median"].refusals] == ["STAGE_FAILED"]
    assert "too few slices" in told["2-denoise-median"].refusals[0].message
    assert told["1-resample-isotropic"].outputs == [run.stages[0].series + ".9"]
    assert request.recipe == "ct-chest 1"
    assert request.manifest_version == 1


async def test_a_deterministic_error_fails_the_run_and_keeps_the_later_stages_pending(
    scripted: Scripted, start_pipeline: Start
) -> None:
    scripted.stages.behaviour["lung-emphysema"] = refuse_with(PixelDataInvalid("frame 3 cannot be decoded", hint="x"))
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert run.state == pipeline_pb2.STATE_FAILED
    assert run.reason == "4-lung-emphysema: frame 3 cannot be decoded. x."
    states = [stage.state for stage in run.stages]
    assert states[3] == pipeline_pb2.STATE_FAILED
    assert states[4:] == [pipeline_pb2.STATE_PENDING] * 3
    assert run.stages[3].attempts == 1


@pytest.mark.parametrize("error", [DeadlineExceeded("frozen"), Unavailable("away"), Overloaded("busy")])
async def test_a_run_that_is_being_planned_waits_for_a_storage_that_is_frozen_or_away(
    scripted: Scripted, start_pipeline: Start, error: ImagingError
) -> None:
    pipeline = await start_pipeline()
    scripted.storage.search_errors = [error]
    scripted.storage.complete(STUDY)
    assert (await pipeline.ended_run_of(STUDY)).state == pipeline_pb2.STATE_SUCCEEDED


async def test_a_run_whose_study_cannot_be_read_has_failed_and_may_be_taken_up_again(
    scripted: Scripted, start_pipeline: Start
) -> None:
    pipeline = await start_pipeline()
    scripted.storage.search_errors = [DataLoss("The bytes no longer match")]
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert run.state == pipeline_pb2.STATE_FAILED
    assert "the study cannot be read: The bytes no longer match" in run.reason
    await pipeline.call("RetryRun", name=run.name)
    assert (await pipeline.watch_until(run.name)).state == pipeline_pb2.STATE_SUCCEEDED


async def test_a_failed_run_is_taken_up_again_where_it_ended(scripted: Scripted, start_pipeline: Start) -> None:
    scripted.stages.behaviour["lung-emphysema"] = refuse_with(PixelDataInvalid("frame 3 cannot be decoded"))
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    del scripted.stages.behaviour["lung-emphysema"]
    await pipeline.call("RetryRun", name=run.name)
    again = await pipeline.watch_until(run.name)
    assert again.state == pipeline_pb2.STATE_SUCCEEDED
    assert [stage.request_id for stage in again.stages] == [stage.request_id for stage in run.stages]
    assert set(scripted.stages.effects.values()) == {1}
    with pytest.raises(FailedPrecondition, match="SUCCEEDED"):
        await pipeline.call("RetryRun", name=run.name)


async def test_a_step_that_is_refused_skips_what_needs_its_output(scripted: Scripted, start_pipeline: Start) -> None:
    async def refuse(context: StageContext, report: Report) -> list[Refusal]:
        return [Refusal(subject="resample-isotropic", rule="VOLUME_REFUSED", message="a slice is missing")]

    scripted.stages.behaviour["resample-isotropic"] = refuse
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert run.state == pipeline_pb2.STATE_SUCCEEDED
    assert run.stages[0].state == pipeline_pb2.STATE_SUCCEEDED
    assert run.stages[1].state == pipeline_pb2.STATE_SKIPPED
    assert "a slice is missing" in run.stages[1].error


async def test_a_run_waits_for_a_service_that_is_away_and_goes_on_with_the_same_request(
    scripted: Scripted, start_pipeline: Start
) -> None:
    gate = Gate()
    scripted.stages.behaviour["image-statistics"] = gate
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    await gate.reached.wait()
    await scripted.stop("analysis")
    name = (await pipeline.run_of(STUDY)).name
    await pipeline.watch_until(name, lambda run: "waiting for analysis" in run.stages[2].progress.message)
    gate.open.set()
    await scripted.start("analysis")
    run = await pipeline.watch_until(name)
    assert run.state == pipeline_pb2.STATE_SUCCEEDED
    assert run.stages[2].attempts > 1
    assert gate.entered == 1, "the second call attached to the work of the first"
    assert {c.request_id for c in scripted.stages.calls if c.stage == "3-image-statistics"} == {
        run.stages[2].request_id
    }


async def test_attempts_count_up_while_a_service_is_unavailable(scripted: Scripted, start_pipeline: Start) -> None:
    failures = iter([Unavailable("storage does not answer"), Unavailable("storage does not answer")])

    async def fail_twice(context: StageContext, report: Report) -> None:
        for error in failures:
            raise error

    scripted.stages.behaviour["image-statistics"] = fail_twice
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert run.state == pipeline_pb2.STATE_SUCCEEDED
    assert run.stages[2].attempts == 3
    assert [c.attempt for c in scripted.stages.calls if c.stage == "3-image-statistics"] == [1, 2, 3]


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


@pytest.mark.parametrize(
    ("modality", "frames", "reason"),
    [
        ("SR", 0, "no recipe fits: no series with images (modalities: SR)"),
        ("RTDOSE", 40, "no recipe fits: no series with images, only radiotherapy dose (modalities: RTDOSE)"),
        ("SEG", 12, "no recipe fits: no series with images, only segmentations (modalities: SEG)"),
    ],
)
async def test_a_study_without_images_is_skipped_with_the_reason(
    scripted: Scripted, start_pipeline: Start, modality: str, frames: int, reason: str
) -> None:
    pipeline = await start_pipeline()
    series = ct_series(STUDY, slices=1)
    series.message.modality = modality
    series.message.frame_count = frames
    scripted.storage.complete(STUDY, series)
    run = await pipeline.ended_run_of(STUDY)
    assert (run.state, run.recipe, run.reason) == (pipeline_pb2.STATE_SKIPPED, "", reason)


async def test_derived_series_are_never_worked_on(scripted: Scripted, start_pipeline: Start) -> None:
    pipeline = await start_pipeline()
    derived = ct_series(STUDY, 2, slices=100)
    derived.message.origin.kind = storage_pb2.Origin.KIND_DERIVED
    scripted.storage.complete(STUDY, ct_series(STUDY, 1), derived)
    run = await pipeline.ended_run_of(STUDY)
    assert run.stages[0].series.endswith("/1.2.3.1")


async def test_sagittal_slices_alone_fall_to_the_next_recipe(scripted: Scripted, start_pipeline: Start) -> None:
    pipeline = await start_pipeline()
    series = ct_series(STUDY)
    for header in series.headers:
        header.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        header.ImagePositionPatient = [header.ImagePositionPatient[2], 0, 0]
    scripted.storage.complete(STUDY, series)
    run = await pipeline.ended_run_of(STUDY)
    assert (run.state, run.recipe) == (pipeline_pb2.STATE_SUCCEEDED, "ct-general")


async def test_the_general_recipe_measures_each_series_and_survives_one_that_fails(
    scripted: Scripted, start_pipeline: Start
) -> None:
    async def fail_second(context: StageContext, report: Report) -> None:
        if context.stage.startswith("2-"):
            raise PixelDataInvalid("frame 1 cannot be decoded")

    scripted.stages.behaviour["image-statistics"] = fail_second
    pipeline = await start_pipeline()
    series = [ct_series(STUDY, number, slices=2, body_part="KNEE") for number in (1, 2, 3)]
    for one in series:
        one.message.modality = "NM"
    scripted.storage.complete(STUDY, *series)
    run = await pipeline.ended_run_of(STUDY)
    assert (run.state, run.recipe) == (pipeline_pb2.STATE_SUCCEEDED, "general")
    assert [stage.name for stage in run.stages] == [
        "1-image-statistics",
        "2-image-statistics",
        "3-image-statistics",
        "4-quantitative",
    ]
    assert [stage.series for stage in run.stages[:3]] == [one.message.name for one in series]
    assert run.stages[1].state == pipeline_pb2.STATE_FAILED


async def test_a_run_whose_analyses_all_fail_has_no_report(scripted: Scripted, start_pipeline: Start) -> None:
    scripted.stages.behaviour["image-statistics"] = refuse_with(PixelDataInvalid("frame 1 cannot be decoded"))
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY, ct_series(STUDY, slices=1))
    run = await pipeline.ended_run_of(STUDY)
    assert run.state == pipeline_pb2.STATE_FAILED
    assert run.reason == "no analysis succeeded: 1-image-statistics: frame 1 cannot be decoded"


async def test_runs_beyond_the_limit_wait_their_turn(scripted: Scripted, start_pipeline: Start) -> None:
    gate = Gate()
    scripted.stages.behaviour["resample-isotropic"] = gate
    pipeline = await start_pipeline(max_parallel_runs=2)
    studies = [f"studies/1.2.{number}" for number in range(4)]
    for study in studies:
        scripted.storage.complete(study)
    await gate.wait_for(2)
    states = [(await pipeline.run_of(study)).state for study in studies]
    assert states == [pipeline_pb2.STATE_RUNNING] * 2 + [pipeline_pb2.STATE_PENDING] * 2
    gate.open.set()
    runs = [await pipeline.ended_run_of(study) for study in studies]
    assert {run.state for run in runs} == {pipeline_pb2.STATE_SUCCEEDED}


async def test_creating_a_run_that_is_there_gives_it_back(scripted: Scripted, start_pipeline: Start) -> None:
    pipeline = await start_pipeline()
    scripted.storage.complete(STUDY)
    run = await pipeline.ended_run_of(STUDY)
    assert (await pipeline.call("CreateRun", study=STUDY)).run == run
    assert (await pipeline.call("CreateRun", study=STUDY, recipe="ct-chest")).run == run
    other = (await pipeline.call("CreateRun", study=STUDY, recipe="general")).run
    assert (await pipeline.watch_until(other.name)).recipe == "general"
    assert len(await pipeline.runs(STUDY)) == 2


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
