"""Errors in a run: those that pass are waited for, others end it, and it may be taken up again."""

from __future__ import annotations

import pytest

from imaging.errors import (
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    ImagingError,
    Overloaded,
    PixelDataInvalid,
    Unavailable,
)
from imaging.pipeline.v1 import pipeline_pb2
from imaging.stage.v1.stage_pb2 import Refusal, StageContext
from imaging.work import Report
from tests.pipeline.pipeline_client import Start
from tests.pipeline.scripted_services import Scripted
from tests.pipeline.scripted_stages import Gate, refuse_with
from tests.pipeline.scripted_storage import ct_series

STUDY = "studies/1.2.3"


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
