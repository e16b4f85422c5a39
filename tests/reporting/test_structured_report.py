"""What is read back from the SR is what was found."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from reporting_svc.content.report_content import Predecessor, ReportContent
from reporting_svc.dicom.encapsulated_pdf import encapsulated_pdf
from reporting_svc.dicom.evidence import StoredInstance, collect_references
from reporting_svc.dicom.structured_report import ReportSources, ReportUids, structured_report
from reporting_svc.dicom.study_identity import study_identity
from reporting_svc.pdf.document import render_pdf
from tests.reporting.sample_report import (
    FRAME_OF_REFERENCE_UID,
    LAA,
    ML,
    SEG_UID,
    SERIES,
    SERIES_UID,
    STUDY_UID,
    VOLUME,
    finding,
    frame,
    placed_content,
    sample_content,
    sample_study,
    slice_uid,
)

UIDS = ReportUids("2.25.11", "2.25.12", "2.25.13", "2.25.14", ("study", "1"))
SEGMENTATION = StoredInstance(f"studies/{STUDY_UID}/series/2.25.77/instances/{SEG_UID}", SegmentationStorage, 12)


def _sources(**changes: object) -> ReportSources:
    return ReportSources(
        identity=study_identity(sample_study(**changes), None),
        segmentations={SEG_UID: SEGMENTATION},
        frames_of_reference={SERIES: FRAME_OF_REFERENCE_UID},
    )


def _read(content: ReportContent, sources: ReportSources | None = None) -> highdicom.sr.Comprehensive3DSR:
    encoded = structured_report(content, sources or _sources(), UIDS)
    return highdicom.sr.Comprehensive3DSR.from_dataset(pydicom.dcmread(io.BytesIO(encoded)))


def _all_items(dataset: Dataset) -> list[Dataset]:
    items = list(dataset.get("ContentSequence") or ())
    return [*items, *(below for item in items for below in _all_items(item))]


def test_every_value_comes_back_with_its_unit_and_tracking_uid() -> None:
    content = sample_content()
    groups = _read(content).content.get_image_measurement_groups()
    groups += _read(content).content.get_volumetric_roi_measurement_groups()
    found = {
        (str(group.tracking_uid), measurement.name.meaning): (measurement.value, measurement.unit.value)
        for group in groups
        for measurement in group.get_measurements()
    }
    expected = {
        (group.tracking_uid, each.concept.meaning): (each.value, each.unit.value if each.unit else "")
        for group in content.groups
        for each in group.measurements
        if each.value is not None
    }
    assert found == expected


def test_regions_reference_segment_and_source_series() -> None:
    report = _read(sample_content()).content
    (lesion,) = [
        group for group in report.get_volumetric_roi_measurement_groups() if group.tracking_identifier == "Lesion 2"
    ]
    segment = lesion.referenced_segment
    assert segment.referenced_sop_instance_uid == SEG_UID
    assert list(segment.referenced_segment_numbers) == [5]
    assert segment.source_series_for_segmentation.value == SERIES_UID
    assert lesion.finding_type.meaning == "Lesion"
    assert lesion.finding_sites[0].value.meaning == "Right lung"


def test_the_long_axis_has_its_ends_in_patient_coordinates() -> None:
    items = [item for item in _all_items(_read(sample_content())) if item.ValueType == "SCOORD3D"]
    assert len(items) == 2
    assert items[0].GraphicType == "POLYLINE"
    assert items[0].ReferencedFrameOfReferenceUID == FRAME_OF_REFERENCE_UID
    assert np.allclose(items[0].GraphicData, [-40, 12.5, 10, -21.58, 12.5, 10])


def test_an_axis_is_drawn_on_the_image_that_shows_it() -> None:
    items = _all_items(_read(placed_content()))
    (first, second) = [
        item for item in items if item.ValueType == "SCOORD" and item.RelationshipType == "INFERRED FROM"
    ]
    assert (first.GraphicType, list(first.GraphicData)) == ("POLYLINE", [10.5, 20.5, 30.0, 20.5])
    named = [item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in (first, second)]
    assert named == [slice_uid(3), slice_uid(4)]
    assert not [item for item in items if item.ValueType == "SCOORD3D"]


def test_what_has_no_axis_is_outlined_on_its_image_under_the_same_tracking_uid() -> None:
    report = _read(placed_content()).content
    outlined = {str(group.tracking_uid): group for group in report.get_planar_roi_measurement_groups()}
    segments = {str(group.tracking_uid): group for group in report.get_volumetric_roi_measurement_groups()}
    lungs = [uid for uid, group in segments.items() if group.tracking_identifier == "Lungs"]
    assert lungs[0] in outlined
    (fat,) = [group for group in outlined.values() if group.tracking_identifier == "Fat"]
    assert [each.value for each in fat.get_measurements()] == [6890.1]
    assert fat.roi.value.tolist()[1] == [9.0, 1.0]


def test_groups_without_segmentation_name_their_images() -> None:
    report = _read(sample_content())
    (fat,) = [g for g in report.content.get_image_measurement_groups() if g.tracking_identifier == "Fat"]
    assert [source.referenced_sop_instance_uid for source in fat.source_images] == [slice_uid(1)]
    evidence = {instance for _, _, instance, _ in report.get_evidence()}
    assert evidence >= {slice_uid(1), SEG_UID}


def test_only_multi_frame_images_get_frame_numbers() -> None:
    one, many = frame(1), frame(2)
    many.frame_number = 7
    each = finding("A", VOLUME, 1.0, ML, frames=[one, many])
    instances = {
        slice_uid(1): StoredInstance(f"{SERIES}/instances/{slice_uid(1)}", "1.2.840.10008.5.1.4.1.1.2", 1),
        slice_uid(2): StoredInstance(f"{SERIES}/instances/{slice_uid(2)}", "1.2.840.10008.5.1.4.1.1.2.1", 9),
    }
    sources = ReportSources(_sources().identity, instances=instances)
    items = [i for i in _all_items(_read(sample_content(findings=[each]), sources)) if i.ValueType == "IMAGE"]
    numbers = [item.ReferencedSOPSequence[0].get("ReferencedFrameNumber") for item in items]
    assert numbers == [None, 7]


def test_answers_flags_refusals_and_disclaimer_stand_in_it() -> None:
    report = _read(sample_content())
    (quality,) = [
        group for group in report.content.get_image_measurement_groups() if group.tracking_identifier == "Image quality"
    ]
    (evaluation,) = quality.get_qualitative_evaluations()
    assert evaluation.value.meaning == "CAD Processing and Findings Summary"
    texts = [item.TextValue for item in _all_items(report) if item.ValueType == "TEXT"]
    assert any(text.startswith("CONTRAST: Contrast medium was given") for text in texts)
    assert any(text.startswith("Not measured: Perc15 (SHARP_KERNEL).") for text in texts)
    assert any(text.startswith("Not for diagnostic use") for text in texts)
    (algorithm,) = {item.TextValue for item in _all_items(report) if _meaning(item) == "Algorithm Name"}
    assert algorithm == "lung-emphysema"


def _meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def test_a_report_that_replaces_one_names_it() -> None:
    before = Predecessor("reports/a", 1, f"studies/{STUDY_UID}/series/2.25.5/instances/2.25.6")
    report = _read(sample_content(predecessor=before))
    (item,) = report.PredecessorDocumentsSequence
    assert item.StudyInstanceUID == STUDY_UID
    assert item.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.6"
    assert "PredecessorDocumentsSequence" not in _read(sample_content())


def test_a_report_without_findings_says_why() -> None:
    report = _read(sample_content(findings=[]))
    assert report.content[0].ContentTemplateSequence[0].TemplateIdentifier == "1500"
    texts = [item.TextValue for item in _all_items(report) if item.ValueType == "TEXT"]
    assert any(text.startswith("Not measured: Perc15") for text in texts)
    assert report.PatientID == "PH-0042"
    assert "CurrentRequestedProcedureEvidenceSequence" not in report


def test_a_number_that_is_none_is_told_and_not_written() -> None:
    report = _read(sample_content(findings=[finding("Lungs", LAA, float("nan"), ML, frames=[frame(1)])]))
    assert not [item for item in _all_items(report) if item.ValueType == "NUM"]
    assert any("not a finite number" in str(item.get("TextValue")) for item in _all_items(report))


def test_the_same_content_gives_the_same_bytes_with_the_time_of_the_request() -> None:
    first = structured_report(sample_content(), _sources(), UIDS)
    assert first == structured_report(sample_content(), _sources(), UIDS)
    report = pydicom.dcmread(io.BytesIO(first))
    assert (report.ContentDate, report.ContentTime) == ("20300317", "174640")
    assert (report.SOPInstanceUID, report.SeriesInstanceUID) == ("2.25.12", "2.25.11")
    assert report.StudyInstanceUID == STUDY_UID
    assert report.InstanceNumber == 2


def _objects(folder: Path, content: ReportContent, sources: ReportSources) -> list[Path]:
    pdf = render_pdf(content)
    references = collect_references(content.groups, sources.segmentations, sources.identity)
    files = [folder / "sr.dcm", folder / "pdf.dcm"]
    files[0].write_bytes(structured_report(content, sources, UIDS))
    files[1].write_bytes(encapsulated_pdf(content, pdf, sources.identity, references, UIDS))
    return files


@pytest.mark.parametrize("shape", ["whole", "placed", "replacing", "empty", "odd"])
@pytest.mark.peers
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy of dicom3tools is not installed")
def test_dciodvfy_finds_no_error_in_sr_and_encapsulated_pdf(shape: str, tmp_path: Path) -> None:
    content, sources = sample_content(), _sources()
    if shape == "replacing":
        before = Predecessor("reports/a", 1, f"studies/{STUDY_UID}/series/2.25.5/instances/2.25.6")
        content = sample_content(predecessor=before)
    if shape == "placed":
        content = placed_content()
    if shape == "empty":
        content = sample_content(findings=[])
    if shape == "odd":
        odd = {
            "patient_name": "A\x1b^B\\C" * 40,
            "patient_birth_date": "1970",
            "patient_sex": "?",
            "study_id": "x" * 90,
        }
        content, sources = sample_content(study=sample_study(**odd)), _sources(**odd)
    for file in _objects(tmp_path, content, sources):
        done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, timeout=60, check=False)
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert errors == []


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dsrdump of DCMTK is not installed")
def test_dsrdump_reads_the_report(tmp_path: Path) -> None:
    file = _objects(tmp_path, sample_content(), _sources())[0]
    done = subprocess.run(["dsrdump", str(file)], capture_output=True, text=True, timeout=60, check=True)
    assert '"Volume")="4812.345" (mL,UCUM,"milliliter")' in done.stdout


def test_the_encapsulated_pdf_holds_the_pdf_with_its_true_length() -> None:
    content, sources = sample_content(), _sources()
    for pdf in (render_pdf(content), b"%PDF-odd"[:7]):
        references = collect_references(content.groups, sources.segmentations, sources.identity)
        dataset = pydicom.dcmread(io.BytesIO(encapsulated_pdf(content, pdf, sources.identity, references, UIDS)))
        assert dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength] == pdf
        assert dataset.SOPInstanceUID == "2.25.14"
        assert dataset.BurnedInAnnotation == "YES"
        sources_named = {item.ReferencedSOPInstanceUID for item in dataset.SourceInstanceSequence}
        assert SEG_UID in sources_named


def test_codes_of_the_standard_are_used() -> None:
    report = _read(sample_content())
    assert report.ConceptNameCodeSequence[0].CodeValue == codes.DCM.ImagingMeasurementReport.value
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
