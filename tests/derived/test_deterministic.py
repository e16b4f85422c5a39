"""The cleaning of clock and chance out of objects, and the bytes of a file."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from imaging.derived.deterministic import make_deterministic, part10_bytes
from imaging.derived.dicom_time import da_value, dt_value, offset_zone, tm_value
from imaging.derived.equipment import contribution, product_equipment, set_equipment
from imaging.dicom.implementation import IMPLEMENTATION_CLASS_UID
from imaging.errors import InvalidArgument

WHEN = datetime(2031, 5, 6, 23, 30, 15, 250000, tzinfo=UTC)


def _segmentation(tracking_uid: str | None = None) -> Dataset:
    source = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    description = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="test", version="1", family=codes.DCM.ArtificialIntelligence
        ),
        tracking_uid=tracking_uid or generate_uid(),
        tracking_id="lesion 1",
    )
    mask = np.zeros((1, source.Rows, source.Columns), dtype=np.uint8)
    mask[0, 40:60, 40:60] = 1
    return highdicom.seg.Segmentation(
        source_images=[source],
        pixel_array=mask,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[description],
        series_instance_uid="2.25.1",
        series_number=100,
        sop_instance_uid="2.25.2",
        instance_number=1,
        manufacturer="maker",
        manufacturer_model_name="model",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def test_two_segmentations_made_at_different_times_have_equal_bytes_after_cleaning() -> None:
    first, second = _segmentation(), _segmentation()
    assert first.DimensionOrganizationSequence[0].DimensionOrganizationUID != (
        second.DimensionOrganizationSequence[0].DimensionOrganizationUID
    )
    assert part10_bytes(make_deterministic(first, ["m", "a"], WHEN)) == part10_bytes(
        make_deterministic(second, ["m", "a"], WHEN)
    )


def test_a_second_cleaning_changes_nothing() -> None:
    dataset = make_deterministic(_segmentation(), ["m"], WHEN)
    once = part10_bytes(dataset)
    assert part10_bytes(make_deterministic(dataset, ["m"], WHEN)) == once


def test_other_parts_give_other_uids() -> None:
    first = make_deterministic(_segmentation(), ["m"], WHEN)
    second = make_deterministic(_segmentation(), ["n"], WHEN)
    assert first.SegmentSequence[0].TrackingUID != second.SegmentSequence[0].TrackingUID


def test_references_inside_the_object_stay_whole() -> None:
    dataset = make_deterministic(_segmentation(), ["m"], WHEN)
    organization = dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID
    assert organization.startswith("2.25.")
    assert {item.DimensionOrganizationUID for item in dataset.DimensionIndexSequence} == {organization}


def test_given_uids_and_those_of_the_source_are_kept() -> None:
    source_study = dcmread(str(get_testdata_file("CT_small.dcm", download=False))).StudyInstanceUID
    dataset = make_deterministic(_segmentation(tracking_uid="2.25.77"), ["m"], WHEN)
    assert dataset.SegmentSequence[0].TrackingUID == "2.25.77"
    assert dataset.StudyInstanceUID == source_study
    assert dataset.SOPInstanceUID == "2.25.2"


def test_a_random_study_uid_of_the_source_is_kept() -> None:
    dataset = Dataset()
    dataset.StudyInstanceUID = study = generate_uid()
    dataset.SOPInstanceUID = generate_uid()
    dataset.ReferencedSOPInstanceUID = referenced = generate_uid()
    make_deterministic(dataset, ["m"], WHEN)
    assert (dataset.StudyInstanceUID, dataset.ReferencedSOPInstanceUID) == (study, referenced)
    assert dataset.SOPInstanceUID.startswith("2.25.")


def test_a_tracking_content_item_with_a_random_uid_is_replaced() -> None:
    item = Dataset()
    item.ValueType = "UIDREF"
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "112040", "DCM", "Tracking Unique Identifier"
    item.ConceptNameCodeSequence = [name]
    item.UID = generate_uid()
    report = Dataset()
    report.ContentSequence = [item]
    make_deterministic(report, ["m"], WHEN)
    assert item.UID.startswith("2.25.")


def test_dates_are_those_of_the_request_in_the_zone_of_the_object() -> None:
    dataset = Dataset()
    dataset.TimezoneOffsetFromUTC = "+0200"
    dataset.ContentDate, dataset.ContentTime = "20000101", "000000"
    make_deterministic(dataset, ["m"], WHEN)
    assert (dataset.ContentDate, dataset.ContentTime) == ("20310507", "013015.250000")
    assert (dataset.InstanceCreationDate, dataset.InstanceCreationTime) == ("20310507", "013015.250000")


def test_no_date_is_added_that_the_object_does_not_have() -> None:
    dataset = make_deterministic(Dataset(), ["m"], WHEN)
    assert "ContentDate" not in dataset
    assert "DateOfSecondaryCapture" not in dataset


def test_the_contribution_of_other_equipment_keeps_its_time() -> None:
    dataset = Dataset()
    foreign = Dataset()
    foreign.ManufacturerModelName = "Scanner"
    foreign.ContributionDateTime = "20200101120000"
    library = Dataset()
    library.ManufacturerModelName = "highdicom"
    library.ContributionDateTime = "20300101120000"
    dataset.ContributingEquipmentSequence = [foreign, library]
    make_deterministic(dataset, ["m"], WHEN)
    assert foreign.ContributionDateTime == "20200101120000"
    assert library.ContributionDateTime == dt_value(WHEN)


def test_a_time_without_zone_is_refused_with_a_hint() -> None:
    with pytest.raises(InvalidArgument, match="no time zone"):
        make_deterministic(Dataset(), ["m"], datetime(2031, 5, 6))


def test_no_parts_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="No parts"):
        make_deterministic(Dataset(), [], WHEN)


def test_the_file_meta_names_this_product_and_nothing_random() -> None:
    content = part10_bytes(_segmentation())
    meta = dcmread(BytesIO(content)).file_meta
    assert content[:132] == b"\x00" * 128 + b"DICM"
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert "SourceApplicationEntityTitle" not in meta


@pytest.mark.parametrize(
    ("offset", "minutes"),
    [("+0000", 0), ("-0530", -330), ("+1400", 840), ("+9900", 0), ("", 0), (None, 0), ("five", 0)],
)
def test_an_unreadable_offset_counts_as_utc(offset: str | None, minutes: int) -> None:
    shift = offset_zone(offset).utcoffset(None)
    assert shift is not None
    assert shift.total_seconds() == minutes * 60


def test_whole_seconds_are_written_without_fraction() -> None:
    when = WHEN.replace(microsecond=0)
    assert (da_value(when), tm_value(when), dt_value(when)) == ("20310506", "233015", "20310506233015+0000")


def test_equipment_is_this_product() -> None:
    dataset = Dataset()
    set_equipment(dataset)
    item = contribution(WHEN, "Resampled")
    assert dataset.ManufacturerModelName == item.ManufacturerModelName == "imaging-pipeline"
    assert item.SoftwareVersions == product_equipment().software_version
    assert item.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Processing Equipment"
