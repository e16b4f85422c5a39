"""The model `radiomics` over gRPC: regions of the study, of earlier stages, and of others."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from imaging.derived.deterministic import part10_bytes
from imaging.phantom.ct_series import phantom_datasets
from tests.analysis.chest import chest
from tests.analysis.conftest import Services, analysis_request
from tests.analysis.drawings import circles, drawn_segmentation, structure_set

MODEL = "radiomics"


async def _send_phantom(services: Services) -> str:
    contents = [part10_bytes(dataset) for dataset in phantom_datasets(chest()[0])]
    await services.send(contents)
    header = dcmread(BytesIO(contents[0]), stop_before_pixels=True)
    return f"studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}"


async def test_received_segmentations_and_structure_sets_are_measured(services: Services) -> None:
    volume, _ = chest()
    series = await _send_phantom(services)
    mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
    mask[5:9, 10:20, 30:50] = True
    segmentation = drawn_segmentation({"Block": mask}, volume)
    structures = structure_set({"Rod": circles(volume, range(10, 20), (0.0, 0.0), 30.0)}, volume)
    await services.send([part10_bytes(segmentation), part10_bytes(structures)])

    result = await services.analyze(analysis_request(series, MODEL))
    assert [refusal.rule for refusal in result.refusals] == []
    told = {(finding.tracking_identifier, finding.concept.value): finding for finding in result.findings}
    assert told["Block", "YEKZ"].value == pytest.approx(mask.sum() * volume.voxel_volume_mm3)
    assert told["Block", "Q4LE"].value == pytest.approx(volume.voxels[mask].mean())
    assert told["Block", "Q4LE"].unit.value == "[hnsf'U]"
    assert told["Block", "ECT3"].unit.value == "[hnsf'U]2"
    assert told["Block", "QCFX"].concept.scheme == "IBSI"
    assert told["Block", "YEKZ"].segmentation_sop_instance_uid == segmentation.SOPInstanceUID
    assert told["Block", "YEKZ"].segment_number == 1
    assert told["Block", "YEKZ"].finding_type.meaning == "Lesion"
    assert told["Rod", "YEKZ"].value == pytest.approx(np.pi * 30**2 * 10 * volume.spacing_mm[0], rel=0.01)
    assert told["Rod", "YEKZ"].segment_number == 0
    assert ("Block", "7TET") not in told  # Hounsfield units have no true zero
    assert "RESEARCH_USE" in {flag.code for flag in told["Rod", "Q4LE"].quality_flags}


async def test_regions_of_an_earlier_stage_are_measured_in_the_same_run_alone(services: Services) -> None:
    series = await _send_phantom(services)
    lesions = await services.analyze(analysis_request(series, "lesion-measurement", request_id="lesions"))
    own = await services.analyze(
        analysis_request(series, MODEL, {"families": ["morphology"]}, request_id="own", context_stage="2-analyze")
    )
    other = await services.analyze(
        analysis_request(series, MODEL, request_id="other", context_run="runs/2", context_stage="2-analyze")
    )
    volumes = {
        finding.tracking_identifier: finding.value for finding in lesions.findings if finding.unit.value == "mm3"
    }
    measured = {
        finding.tracking_identifier: finding.value for finding in own.findings if finding.concept.value == "RNU0"
    }
    assert set(measured) == set(volumes)
    for label, value in measured.items():
        assert value == pytest.approx(volumes[label], rel=0.1)
    assert [refusal.rule for refusal in other.refusals] == ["NO_REGION"]
    # What a stage stored itself, before it was interrupted, is no region for its next attempt.
    again = await services.analyze(analysis_request(series, MODEL, request_id="again"))
    assert [refusal.rule for refusal in again.refusals] == ["NO_REGION"]


async def test_without_a_region_it_is_refused_and_says_so(services: Services) -> None:
    series = await _send_phantom(services)
    result = await services.analyze(analysis_request(series, MODEL))
    assert [(refusal.subject, refusal.rule) for refusal in result.refusals] == [(MODEL, "NO_REGION")]
    assert not result.findings


async def test_regions_on_another_grid_are_told_and_not_measured(services: Services) -> None:
    volume, _ = chest()
    series = await _send_phantom(services)
    structures = structure_set({"Rod": circles(volume, [10.5, 11.5], (0.0, 0.0), 30.0)}, volume)
    elsewhere = structure_set({"Rod": circles(volume, [10, 11], (0.0, 0.0), 30.0)}, volume)
    elsewhere.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "1.2.3"
    await services.send([part10_bytes(structures), part10_bytes(elsewhere)])
    result = await services.analyze(analysis_request(series, MODEL))
    assert not result.findings
    assert {refusal.rule for refusal in result.refusals} == {"OFF_SLICE", "OTHER_FRAME_OF_REFERENCE"}


async def test_a_structure_set_of_series_that_are_not_there_counts_by_its_frame_of_reference(
    services: Services,
) -> None:
    volume, _ = chest()
    series = await _send_phantom(services)
    structures = structure_set({"Rod": circles(volume, [10, 11], (0.0, 0.0), 30.0)}, volume)
    studies = structures.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    studies[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    await services.send([part10_bytes(structures)])
    result = await services.analyze(analysis_request(series, MODEL))
    assert {finding.tracking_identifier for finding in result.findings} == {"Rod"}


async def test_the_number_of_regions_is_limited_and_the_rest_told(services: Services) -> None:
    volume, _ = chest()
    series = await _send_phantom(services)
    rods = {name: circles(volume, range(10, 14), (0.0, 0.0), 20.0) for name in ("Rod", "Rod ", "Third")}
    await services.send([part10_bytes(structure_set(rods, volume))])
    result = await services.analyze(analysis_request(series, MODEL, {"max_regions": 2, "families": ["histogram"]}))
    assert {finding.tracking_identifier for finding in result.findings} == {"Rod", "Rod (2)"}
    assert [refusal.rule for refusal in result.refusals] == ["MORE_REGIONS"]
