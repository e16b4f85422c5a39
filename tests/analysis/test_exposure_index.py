"""The exposure index of radiographs: told, computed, and where makers disagree with themselves."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from imaging.derived.deterministic import part10_bytes
from imaging.dicom.uid import derived_uid
from tests.analysis.conftest import Services, analysis_request


def _image(number: int, **attributes: str) -> bytes:
    dataset = Dataset()
    dataset.file_meta = Dataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = derived_uid("radiograph", str(number))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = derived_uid("x-ray study"), derived_uid("x-ray series")
    dataset.PatientID, dataset.PatientName, dataset.Modality = "DX-1", "Phantom^Dx", "DX"
    dataset.InstanceNumber = number
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = 32
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = np.arange(1024, dtype="<u2").tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return part10_bytes(dataset)


async def _analyze(services: Services, *images: bytes) -> Any:
    await services.send(images)
    header = dcmread(BytesIO(images[0]), stop_before_pixels=True)
    series = f"studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}"
    return await services.analyze(analysis_request(series, "exposure-index"))


async def test_each_image_tells_its_own_index_and_the_deviation_is_computed(services: Services) -> None:
    result = await _analyze(
        services,
        _image(1, ExposureIndex="400", TargetExposureIndex="400", DeviationIndex="0"),
        _image(2, ExposureIndex="800", TargetExposureIndex="400", DeviationIndex="3"),
        _image(3, ExposureIndex="200", TargetExposureIndex="400"),
    )
    told = {(item.tracking_identifier, item.concept.meaning): item for item in result.findings}
    assert told["Image 1", "Exposure Index"].value == 400
    assert told["Image 2", "Deviation Index"].value == pytest.approx(3.0103, abs=1e-3)
    assert told["Image 3", "Deviation Index"].value == pytest.approx(-3.0103, abs=1e-3)
    assert told["Image 1", "Target Exposure Index"].value == 400
    flags = {
        name: {flag.code for flag in told[name, "Deviation Index"].quality_flags} for name in ("Image 1", "Image 2")
    }
    assert flags == {"Image 1": set(), "Image 2": {"EXPOSURE_OFF_TARGET"}}


async def test_a_deviation_that_disagrees_is_flagged_and_an_image_without_index_refused(services: Services) -> None:
    result = await _analyze(
        services,
        _image(1, ExposureIndex="400", TargetExposureIndex="400", DeviationIndex="-4"),
        _image(2, Sensitivity="210"),
    )
    (deviation,) = [item for item in result.findings if item.concept.meaning == "Deviation Index"]
    assert deviation.value == 0
    assert [flag.code for flag in deviation.quality_flags] == ["DEVIATION_DISAGREES"]
    assert [refusal.rule for refusal in result.refusals] == ["NO_EXPOSURE_INDEX"]


@pytest.mark.parametrize("value", ["", "0", "-5"])
async def test_no_index_at_all_is_a_refusal(services: Services, value: str) -> None:
    result = await _analyze(services, _image(1, ExposureIndex=value))
    assert not result.findings
    assert [refusal.rule for refusal in result.refusals] == ["NO_EXPOSURE_INDEX"]
