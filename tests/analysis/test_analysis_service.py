"""AnalyzeSeries and its lists over gRPC, with real storage behind them."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from imaging.analysis.v1 import analysis_service_pb2 as pb
from imaging.deliberate_bug import VARIABLE
from imaging.derived.deterministic import part10_bytes
from imaging.errors import Cancelled, InvalidArgument, ModelFailed, NotFound, StaleAttempt
from imaging.phantom.ct_series import phantom_datasets
from imaging.rpc.status import domain_errors
from imaging.storage.v1 import storage_pb2
from tests.analysis.chest import chest
from tests.analysis.conftest import Services, analysis_request, services_at
from tests.analysis.test_registry import BRIGHT_VOXELS, BUILT_IN, install
from tests.ct_series import ct_series


def _wheel_file(name: str) -> bytes:
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


def _series_of(content: bytes) -> str:
    header = dcmread(BytesIO(content), stop_before_pixels=True)
    return f"studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}"


async def _send_phantom(services: Services) -> str:
    contents = [part10_bytes(dataset) for dataset in phantom_datasets(chest()[0])]
    await services.send(contents)
    return _series_of(contents[0])


async def _findings(services: Services, **filters: Any) -> list[Any]:
    with domain_errors():
        return list((await services.analysis.ListFindings(pb.ListFindingsRequest(page_size=1000, **filters))).findings)


async def test_the_models_are_listed_with_their_schemas(services: Services) -> None:
    models = (await services.analysis.ListModels(pb.ListModelsRequest())).models
    assert [model.name for model in models] == BUILT_IN
    assert all(model.version and model.parameters_schema and model.distribution for model in models)


async def test_lesions_of_the_phantom_come_out_with_segmentation_and_findings(services: Services) -> None:
    series = await _send_phantom(services)
    volume, truth = chest()
    result = await services.analyze(analysis_request(series, "lesion-measurement"))
    assert result.algorithm == "lesion-measurement 1.1"
    volumes = sorted(finding.value for finding in result.findings if finding.unit.value == "mm3")
    assert volumes == pytest.approx(sorted(lesion.volume_mm3 for lesion in truth.lesions), rel=0.02)

    (name,) = result.instances
    ((instance, content),) = [item async for item in services.storage.retrieve_instances(name)]
    assert instance.origin.kind == storage_pb2.Origin.KIND_DERIVED
    assert (instance.origin.run, instance.origin.stage, instance.origin.attempt) == ("runs/1", "1-analyze", 1)
    segmentation = highdicom.seg.segread(BytesIO(content))
    assert segmentation.InstanceCreationDate == "20310506"
    tracked = {str(item.TrackingUID): item.SegmentNumber for item in segmentation.SegmentSequence}
    for finding in result.findings[1:]:
        assert finding.segmentation_sop_instance_uid == segmentation.SOPInstanceUID
        assert tracked[finding.tracking_uid] == finding.segment_number
        assert finding.frames[0].sop_instance_uid in {frame.sop_instance_uid for frame in volume.frames}
    # Each segment lies where the volume has dense voxels, slice by slice.
    masks = segmentation.get_pixels_by_source_instance(
        [frame.sop_instance_uid for frame in volume.frames], assert_missing_frames_are_empty=True
    )
    for segment in range(masks.shape[-1]):
        assert volume.voxels[masks[..., segment] > 0].mean() > -200


async def test_findings_are_kept_listed_and_got_by_name(services: Services) -> None:
    series = await _send_phantom(services)
    result = await services.analyze(analysis_request(series, "lung-emphysema"))
    listed = await _findings(services, run="runs/1")
    assert listed == list(result.findings)
    assert await _findings(services, request_ids=["r1"]) == listed
    assert await _findings(services, study=series.partition("/series")[0]) == listed
    one = (await services.analysis.GetFinding(pb.GetFindingRequest(name=listed[2].name))).finding
    assert one == listed[2]
    assert one.concept.meaning
    assert one.create_time.seconds > 0


async def test_the_same_request_is_worked_on_once_however_often_it_comes(services: Services) -> None:
    series = await _send_phantom(services)
    request = analysis_request(series, "lesion-measurement")
    results = await asyncio.gather(*(services.analyze(request) for _ in range(3)))
    assert results[0] == results[1] == results[2]
    assert len(await _findings(services)) == len(results[0].findings)


async def test_a_repeated_request_after_a_restart_gets_what_was_kept(tmp_path: Path) -> None:
    contents = list(ct_series("restart").instances.values())
    request = analysis_request(_series_of(contents[0]), "tissue-composition")
    results = []
    for round_number in range(2):
        async with services_at(tmp_path) as services:
            if round_number == 0:
                await services.send(contents)
            results.append(await services.analyze(request))
            assert len(await _findings(services)) == len(results[0].findings)
    assert results[0] == results[1]
    assert results[0].instances


async def test_another_request_for_the_same_input_finds_its_segmentation_stored(services: Services) -> None:
    contents = list(ct_series("twice").instances.values())
    await services.send(contents)
    series = _series_of(contents[0])
    first = await services.analyze(analysis_request(series, "tissue-composition"))
    second = await services.analyze(analysis_request(series, "tissue-composition", request_id="r2"))
    assert first.instances == second.instances
    assert {finding.name for finding in first.findings}.isdisjoint(finding.name for finding in second.findings)
    other = await services.analyze(
        analysis_request(series, "tissue-composition", {"bone_threshold_hu": 200}, request_id="r3")
    )
    assert other.instances != first.instances


async def test_an_overtaken_attempt_can_store_nothing_more(services: Services) -> None:
    contents = list(ct_series("fenced").instances.values())
    await services.send(contents)
    series = _series_of(contents[0])
    await services.analyze(analysis_request(series, "tissue-composition", context_attempt=2))
    late = analysis_request(series, "tissue-composition", {"bone_threshold_hu": 200}, request_id="r0")
    with pytest.raises(StaleAttempt):
        await services.analyze(late)
    assert await _findings(services, request_ids=["r0"]) == []


async def test_the_deliberate_bug_makes_new_uids(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = list(ct_series("bug").instances.values())
    await services.send(contents)
    monkeypatch.setenv(VARIABLE, "new-uids-on-retry")
    results = [
        await services.analyze(analysis_request(_series_of(contents[0]), "tissue-composition", request_id=f"r{number}"))
        for number in range(2)
    ]
    assert results[0].instances != results[1].instances


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("MR_small.dcm", False),
        ("CT_small.dcm", False),
        ("examples_rgb_color.dcm", True),
        ("examples_palette.dcm", True),
    ],
)
async def test_single_images_of_any_kind_are_measured(services: Services, name: str, colour: bool) -> None:
    content = _wheel_file(name)
    await services.send([content])
    result = await services.analyze(analysis_request(_series_of(content), "image-statistics"))
    by_derivation = {finding.derivation.meaning: finding.value for finding in result.findings[:7]}
    assert by_derivation["Minimum"] <= by_derivation["Median"] <= by_derivation["Maximum"]
    assert ("COLOUR_AS_LUMINANCE" in {flag.code for flag in result.findings[0].quality_flags}) == colour
    assert result.findings[0].chart_json
    dataset = dcmread(BytesIO(content))
    if name == "MR_small.dcm":
        assert by_derivation["Mean"] == pytest.approx(dataset.pixel_array.mean())


async def test_a_cine_is_measured_over_all_its_frames(services: Services) -> None:
    content = _wheel_file("examples_ybr_color.dcm")
    await services.send([content])
    result = await services.analyze(analysis_request(_series_of(content), "image-statistics"))
    frames = int(dcmread(BytesIO(content)).NumberOfFrames)
    assert {finding.frames[0].frame_number for finding in result.findings} == {frames // 2 + 1}


@pytest.mark.parametrize(
    ("model", "file", "rule"),
    [
        ("lung-emphysema", "MR_small.dcm", "MODALITY"),
        ("tissue-composition", "CT_small.dcm", "TOO_FEW_SLICES"),
        ("image-statistics", "rtplan.dcm", "NO_IMAGES"),
        ("image-statistics", "reportsi.dcm", "NO_IMAGES"),
    ],
)
async def test_input_that_does_not_suit_is_a_result_with_the_reason(
    services: Services, model: str, file: str, rule: str
) -> None:
    content = _wheel_file(file)
    await services.send([content])
    result = await services.analyze(analysis_request(_series_of(content), model))
    assert not result.findings
    assert not result.instances
    (refusal,) = result.refusals
    assert (refusal.subject, refusal.rule) == (model, rule)
    assert refusal.message
    assert refusal.hint


async def test_a_gap_between_slices_is_a_result_with_the_reason(services: Services) -> None:
    contents = list(ct_series("gap").instances.values())
    del contents[3]
    await services.send(contents)
    result = await services.analyze(analysis_request(_series_of(contents[0]), "tissue-composition"))
    assert result.refusals[0].rule
    assert result.refusals[0].rule == result.refusals[0].rule.upper()


async def test_only_the_named_instances_are_taken(services: Services) -> None:
    sent = ct_series("some")
    await services.send(sent.instances.values())
    uids = list(sent.instances)[:4]
    some = await services.analyze(analysis_request(sent.series, "tissue-composition", sop_instance_uids=uids))
    everything = await services.analyze(analysis_request(sent.series, "tissue-composition", request_id="r2"))
    assert some.findings[0].value == pytest.approx(everything.findings[0].value / 2, rel=0.01)
    with pytest.raises(NotFound, match="1 of the instances"):
        await services.analyze(
            analysis_request(sent.series, "image-statistics", sop_instance_uids=[*uids, "1.2.3"], request_id="r3")
        )


@pytest.mark.parametrize(
    ("fields", "error", "told"),
    [
        ({"request_id": ""}, InvalidArgument, "request_id"),
        ({"series": "studies/1.2"}, InvalidArgument, "series"),
        ({"series": "studies/1.2/series/../.."}, InvalidArgument, "series"),
        ({"sop_instance_uids": ["not a uid"]}, InvalidArgument, "sop_instance_uids"),
        ({"model": "lung-emphysemas"}, NotFound, "lung-emphysema"),
        ({"parameters": {"limit": 3}}, InvalidArgument, "limit"),
        ({"context_effective_time": None}, InvalidArgument, "effective_time"),
        ({}, NotFound, "series"),
    ],
)
async def test_wrong_requests_are_typed_errors(
    services: Services, fields: dict[str, Any], error: type[Exception], told: str
) -> None:
    arguments = {"series": "studies/1.2.3/series/1.2.4", "model": "image-statistics", **fields}
    with pytest.raises(error, match=told):
        await services.analyze(analysis_request(**arguments))


async def test_a_model_that_raises_fails_its_request_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    failing = BRIGHT_VOXELS.replace("bright-voxels", "failing-model").replace(
        "millilitres =", "raise KeyError('secret'); millilitres ="
    )
    install(packages, "failing_package", failing, {"failing-model": "failing_package:BrightVoxels"})
    install(packages, "working_package", BRIGHT_VOXELS, {"bright-voxels": "working_package:BrightVoxels"})
    monkeypatch.syspath_prepend(str(packages))
    sent = ct_series("foreign")
    async with services_at(tmp_path / "data") as services:
        await services.send(sent.instances.values())
        with pytest.raises(ModelFailed, match="KeyError") as failed:
            await services.analyze(analysis_request(sent.series, "failing-model"))
        assert "secret" not in failed.value.text
        result = await services.analyze(
            analysis_request(sent.series, "bright-voxels", {"limit_hu": 0}, request_id="r2")
        )
        tissue = np.pi * (64 * 0.4 * 4) ** 2 * 32 / 1000
        assert result.findings[0].value == pytest.approx(tissue, rel=0.02)
        assert await _findings(services) == list(result.findings)


ENDLESS = """
import threading
from typing import Literal
from analysis_svc.measurement import Analysis
from analysis_svc.model import ModelParameters

class Endless:
    name, version, description = "endless", "1.0", "Never ends by itself."
    modalities = ()
    requires: Literal["frames"] = "frames"
    Parameters = ModelParameters

    def analyze(self, images, parameters, report):
        pause = threading.Event()
        for frame in images:
            while True:
                report(1, 2, "frames", "waiting")
                pause.wait(0.01)
        return Analysis()
"""


async def test_cancelled_work_ends_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    install(packages, "endless_package", ENDLESS, {"endless": "endless_package:Endless"})
    monkeypatch.syspath_prepend(str(packages))
    sent = ct_series("endless")
    async with services_at(tmp_path / "data") as services:
        await services.send(sent.instances.values())
        call = services.analysis.AnalyzeSeries(analysis_request(sent.series, "endless"))
        async for update in call:
            if update.progress.message == "waiting":
                break
        await services.analysis.CancelAnalysis(pb.CancelAnalysisRequest(request_id="r1"))
        with pytest.raises(Cancelled), domain_errors():
            async for _ in call:
                pass
        assert await _findings(services) == []


async def test_to_cancel_an_unknown_request_is_no_error(services: Services) -> None:
    await services.analysis.CancelAnalysis(pb.CancelAnalysisRequest(request_id="nobody"))


async def test_images_of_which_some_have_no_rescale_are_not_told_in_one_number(services: Services) -> None:
    contents = list(ct_series("mixed units").instances.values())
    broken = dcmread(BytesIO(contents[3]))
    del broken.RescaleIntercept
    contents[3] = part10_bytes(broken)
    await services.send(contents)
    result = await services.analyze(analysis_request(_series_of(contents[0]), "image-statistics"))
    assert not result.findings
    assert [refusal.rule for refusal in result.refusals] == ["MIXED_UNITS"]
