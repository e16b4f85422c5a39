"""Complete studies become runs, over real gRPC: what is worked on, the stages in their order, what each is told."""

from __future__ import annotations

import pytest

from imaging.errors import MeasurementRefused
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
