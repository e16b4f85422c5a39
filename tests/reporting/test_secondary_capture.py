"""Key images as Secondary Capture: the pixels of the picture, where they come from, sound for the gate and dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from imaging.gate.check import Outgoing, check_object
from reporting_svc.content.report_content import KeyImage
from reporting_svc.dicom.evidence import StoredInstance
from reporting_svc.dicom.secondary_capture import secondary_capture
from tests.reporting.sample_report import sample_content
from tests.reporting.test_key_object_selection import INSTANCES
from tests.reporting.test_structured_report import UIDS, _sources

CONTENT = sample_content()


def _picture(width: int = 65, height: int = 31) -> KeyImage:
    """An odd number of bytes."""
    pixels = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return replace(
        CONTENT.key_images[0], png=buffer.getvalue(), width=width, height=height, frame_number=7, orientation=("L", "P")
    )


def _made(source: StoredInstance | None, number: int = 1) -> bytes:
    return secondary_capture(CONTENT, number, _picture(), source, _sources().identity, UIDS)


def test_the_pixels_are_those_of_the_picture_and_the_gate_takes_it() -> None:
    single = next(each for each in INSTANCES.values() if each.number_of_frames == 1)
    content = _made(single)
    dataset = dcmread(BytesIO(content))
    with Image.open(BytesIO(_picture().png)) as picture:
        assert np.array_equal(dataset.pixel_array, np.asarray(picture))
    (source,) = dataset.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == single.sop_instance_uid
    assert "ReferencedFrameNumber" not in source
    assert (dataset.ImageType, dataset.BurnedInAnnotation) == (["DERIVED", "SECONDARY"], "NO")
    assert dataset.PatientOrientation == ["L", "P"]
    assert "Not for diagnostic use" in dataset.ImageComments
    assert check_object(Outgoing(content)).compared["pixels"] == 1


def test_a_picture_that_tells_no_orientation_is_taken_without() -> None:
    image = replace(_picture(), orientation=("", ""))
    content = secondary_capture(CONTENT, 1, image, None, _sources().identity, UIDS)
    assert "PatientOrientation" in dcmread(BytesIO(content))
    check_object(Outgoing(content))


def test_of_an_image_with_several_frames_the_frame_is_named() -> None:
    several = next(each for each in INSTANCES.values() if each.number_of_frames > 1)
    assert dcmread(BytesIO(_made(several))).SourceImageSequence[0].ReferencedFrameNumber == 7
    assert "SourceImageSequence" not in dcmread(BytesIO(_made(None)))


def test_pictures_of_a_report_share_a_series_and_the_same_report_gives_the_same_bytes() -> None:
    first, second = (dcmread(BytesIO(_made(None, number))) for number in (1, 2))
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert _made(None) == _made(None)


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy of dicom3tools is not installed")
def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    for number, source in enumerate((None, *INSTANCES.values()), start=1):
        (tmp_path / "sc.dcm").write_bytes(_made(source, number))
        done = subprocess.run(
            ["dciodvfy", str(tmp_path / "sc.dcm")], capture_output=True, text=True, timeout=60, check=False
        )
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert errors == []
