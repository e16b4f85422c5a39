"""The Key Object Selection names the key images, and passes the gate and dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom
import pytest
from pydicom import dcmread

from imaging.errors import ObjectRefused
from imaging.gate.check import Outgoing, check_object
from reporting_svc.content.report_content import KeyImage, ReportContent
from reporting_svc.dicom.evidence import StoredInstance
from reporting_svc.dicom.key_object_selection import key_object_selection
from tests.reporting.sample_report import CT_IMAGE, SERIES, sample_content, slice_uid
from tests.reporting.test_structured_report import UIDS, _sources

ENHANCED_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2.1"

INSTANCES = {
    slice_uid(number): StoredInstance(f"{SERIES}/instances/{slice_uid(number)}", sop_class_uid, frames)
    for number, sop_class_uid, frames in ((1, CT_IMAGE, 1), (2, CT_IMAGE, 1), (3, ENHANCED_CT_IMAGE, 40))
}


def _content(*frames: tuple[int, int]) -> ReportContent:
    images = tuple(KeyImage("Lesion", "", slice_uid(number), frame, (), 8, 8, b"") for number, frame in frames)
    return replace(sample_content(), key_images=images)


def _made(*frames: tuple[int, int]) -> bytes:
    content = key_object_selection(_content(*frames), INSTANCES, _sources().identity, UIDS)
    assert content is not None
    return content


def test_it_names_each_image_once_and_frames_of_those_that_have_several() -> None:
    dataset = dcmread(BytesIO(_made((1, 1), (3, 7), (3, 2), (1, 1))))
    references = [item.ReferencedSOPSequence[0] for item in dataset.ContentSequence if item.ValueType == "IMAGE"]
    named = {each.ReferencedSOPInstanceUID: each.get("ReferencedFrameNumber") for each in references}
    assert named == {slice_uid(1): None, slice_uid(3): [2, 7]}
    read = highdicom.ko.KeyObjectSelectionDocument.from_dataset(dataset)
    assert [str(item.referenced_sop_instance_uid) for item in read.content.get_references()] == list(named)
    assert dataset.Modality == "KO"
    assert str(dataset.PatientID) == str(_sources().identity.PatientID)


def test_without_a_stored_key_image_there_is_none() -> None:
    assert key_object_selection(_content(), INSTANCES, _sources().identity, UIDS) is None
    assert key_object_selection(_content((9, 1)), INSTANCES, _sources().identity, UIDS) is None


def test_the_same_report_gives_the_same_bytes() -> None:
    assert _made((1, 1), (2, 1)) == _made((1, 1), (2, 1))


def test_it_passes_the_gate_and_one_without_images_does_not() -> None:
    passed = check_object(Outgoing(_made((1, 1), (3, 2))))
    assert passed.compared["template"] >= 4
    dataset = dcmread(BytesIO(_made((1, 1))))
    dataset.ContentSequence = [item for item in dataset.ContentSequence if item.ValueType != "IMAGE"]
    file = BytesIO()
    dataset.save_as(file)
    with pytest.raises(ObjectRefused, match="TID 2010 lacks IMAGE"):
        check_object(Outgoing(file.getvalue()))


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    (tmp_path / "kos.dcm").write_bytes(_made((1, 1), (3, 2)))
    told = subprocess.run(["dciodvfy", str(tmp_path / "kos.dcm")], capture_output=True, text=True, check=False)
    assert not [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]
