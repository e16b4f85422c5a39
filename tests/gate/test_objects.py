"""The gate lets sound objects pass and says what is wrong with others: each damage is done to an object of ours."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import HTJ2KLosslessRPCL
from scipy.spatial.transform import Rotation

from analysis_svc import concepts
from analysis_svc.measurement import Mask
from analysis_svc.segmentation import SegmentationMaker, segmentation
from analysis_svc.segmentation_readback import differences
from imaging.derived.derivation import Algorithm, Derivation
from imaging.derived.derived_series import derived_series
from imaging.derived.deterministic import part10_bytes
from imaging.errors import ObjectRefused
from imaging.gate import generate
from imaging.gate.answer import gate_answer
from imaging.gate.check import Outgoing, Passed, check_object
from imaging.gate.image_place import ExpectedPlaces, check_places, place_of_slice, places_of_source
from imaging.phantom.ct_series import phantom_datasets
from imaging.volume.reformat import reformat
from imaging.volume.resample import resample
from imaging.volume.volume import Volume
from processing_svc.steps.multiplanar_reformat import MultiplanarReformat
from reporting_svc.dicom.encapsulated_pdf import encapsulated_pdf
from reporting_svc.dicom.structured_report import structured_report
from reporting_svc.pdf.document import render_pdf
from tests.analysis.chest import QUICK_MM, chest
from tests.reporting.sample_report import placed_content, sample_content
from tests.reporting.test_structured_report import UIDS, _sources

WHEN = datetime(2031, 5, 6, tzinfo=UTC)


@cache
def _source() -> tuple[Volume, tuple[Dataset, ...]]:
    volume, _ = chest(QUICK_MM)
    return volume, tuple(phantom_datasets(volume))


@cache
def _masks() -> tuple[Mask, ...]:
    volume, _ = _source()
    body = np.zeros(volume.voxels.shape, dtype=np.bool_)
    body[5:9, 20:40, 10:25] = True
    small = np.zeros_like(body)
    small[7, 22, 12] = True
    return tuple(
        Mask(label, voxels, concepts.ABNORMAL_STRUCTURE, concepts.LESION, concepts.LUNG, (230, 60, 60), label)
        for label, voxels in (("Body", body), ("Small", small))
    )


@cache
def _segmentation() -> bytes:
    volume, headers = _source()
    maker = SegmentationMaker("test-model", "1.0", ("digest",), WHEN)
    made = segmentation(_masks(), volume, headers, maker)
    assert made is not None
    return part10_bytes(made)


@cache
def _slice() -> tuple[bytes, ExpectedPlaces]:
    volume, headers = _source()
    cubes = resample(volume, (4.0, 4.0, 4.0))
    images = derived_series(
        cubes,
        headers,
        derivation=Derivation("Resampled", (codes.DCM.SpatialResampling,), "iso 4 mm", "RESAMPLED"),
        algorithm=Algorithm("resample-isotropic", "1.0", {}),
        uid_parts=("test",),
        effective_time=WHEN,
    )
    return part10_bytes(next(images)), place_of_slice(cubes, 0, volume)


@cache
def _report() -> bytes:
    return structured_report(sample_content(), _sources(), UIDS)


@cache
def _pdf() -> bytes:
    content = sample_content()
    return encapsulated_pdf(content, render_pdf(content), _sources().identity, [], UIDS)


def _outgoing_segmentation(content: bytes) -> Outgoing:
    volume, headers = _source()
    return Outgoing(content, places_of_source(headers), lambda read: differences(read, _masks(), volume))


def test_frames_of_a_segmentation_that_begin_within_a_byte_come_back_as_well() -> None:
    voxels = np.zeros((4, 5, 7), dtype=np.float32)  # 35 pixels a frame
    volume = replace(_source()[0], voxels=voxels, frames=_source()[0].frames[:4])
    mask = replace(_masks()[0], voxels=np.random.default_rng(0).random(voxels.shape) > 0.5)
    maker = SegmentationMaker("test-model", "1.0", ("digest",), WHEN)
    made = segmentation((mask,), volume, tuple(phantom_datasets(volume)), maker)
    assert made is not None
    assert made.NumberOfFrames == 4
    assert differences(dcmread(BytesIO(part10_bytes(made))), (mask,), volume) == []


def _damaged(content: bytes, damage: Callable[[Dataset], object]) -> bytes:
    dataset = dcmread(BytesIO(content))
    damage(dataset)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_a_derived_slice_lies_where_its_volume_says() -> None:
    passed = check_object(Outgoing(*_slice()))
    assert passed.compared == {"attributes": passed.compared["attributes"], "pixels": 1, "places": 1}
    assert passed.compared["attributes"] > 30
    assert passed.largest_deviation_mm is not None
    assert passed.largest_deviation_mm < 1e-6


def test_a_segmentation_comes_back_voxel_for_voxel() -> None:
    passed = check_object(_outgoing_segmentation(_segmentation()))
    assert passed.compared["content"] == 1
    assert passed.compared["places"] == 5  # four slices of the one and one of the other
    assert passed.largest_deviation_mm == 0.0


@pytest.mark.parametrize("make", [_report, _pdf])
def test_documents_pass(make: Callable[[], bytes]) -> None:
    passed = check_object(Outgoing(make()))
    assert passed.compared["attributes"] > 20
    assert passed.largest_deviation_mm is None
    assert ("template" in passed.compared) == (make is _report)


def test_the_answer_counts_over_all_objects_of_a_class() -> None:
    one = Passed("1.2.3", {"attributes": 30, "places": 2}, 0.25)
    checks = gate_answer([one, replace(one, largest_deviation_mm=0.5), Passed("1.2.4", {"attributes": 5}, None)])
    assert [(check.sop_class_uid, check.object_count, dict(check.compared)) for check in checks] == [
        ("1.2.3", 2, {"attributes": 60, "places": 4}),
        ("1.2.4", 1, {"attributes": 5}),
    ]
    assert checks[0].largest_deviation_mm == 0.5
    assert not checks[1].HasField("largest_deviation_mm")


def _shift(dataset: Dataset) -> None:
    dataset.ImagePositionPatient = [float(value) + 0.01 for value in dataset.ImagePositionPatient]


def _flip(dataset: Dataset) -> None:
    dataset.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: d.__delattr__("KVP"), "attributes: KVP (type 2) is missing"),
        (lambda d: setattr(d, "PhotometricInterpretation", ""), "PhotometricInterpretation (type 1) has no value"),
        (lambda d: d.__delattr__("RescaleType"), "RescaleType is missing although there is a slope"),
        (lambda d: d.SourceImageSequence[0].__delattr__("ReferencedSOPInstanceUID"), "SourceImageSequence[1]."),
        (lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "pixels: PixelData has"),
        (_shift, "places: frame 1 lies 0.017 mm away"),
        (_flip, "places: frame 1 has another orientation"),
        (lambda d: setattr(d, "PixelSpacing", [4, 4.001]), "places: the pixels of frame 1 have another spacing"),
        (lambda d: setattr(d, "FrameOfReferenceUID", "1.2.3"), "places: FrameOfReferenceUID is not that of the source"),
        (lambda d: setattr(d, "Rows", d.Rows // 2), "places: its frames have"),
        (lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.481.2"), "of no SOP Class that the gate knows"),
    ],
)
def test_a_damaged_slice_is_refused(damage: Callable[[Dataset], object], told: str) -> None:
    content, places = _slice()
    with pytest.raises(ObjectRefused) as refused:
        check_object(Outgoing(_damaged(content, damage), places))
    assert told in refused.value.text
    assert refused.value.where.startswith("instance ")


def test_a_slice_beyond_its_source_is_refused() -> None:
    content, _ = _slice()
    volume, _ = _source()
    cubes = resample(volume, (4.0, 4.0, 4.0))
    far = replace(cubes, origin_mm=(cubes.origin_mm[0] + 300.0, *cubes.origin_mm[1:]))
    moved = _damaged(content, lambda d: setattr(d, "ImagePositionPatient", list(far.origin_mm)))
    with pytest.raises(ObjectRefused, match="outside the images that it was made of"):
        check_object(Outgoing(moved, place_of_slice(far, 0, volume)))


def _turned(degrees: float, about: tuple[float, float, float]) -> np.ndarray:
    return Rotation.from_rotvec(np.radians(degrees) * np.asarray(about)).as_matrix()


def _acquired(turn: np.ndarray) -> tuple[Volume, list[Dataset]]:
    """A series on a turned grid, as its headers tell."""
    upright = _source()[0]
    volume = replace(upright, direction=upright.direction @ turn.T)
    headers = [copy.deepcopy(header) for header in _source()[1]]
    for index, header in enumerate(headers):
        header.ImagePositionPatient = volume.to_patient_mm(np.array([[index, 0.0, 0.0]]))[0].tolist()
        header.ImageOrientationPatient = volume.direction[[2, 1]].ravel().tolist()
    return volume, headers


@pytest.mark.parametrize("degrees", [0.0, 20.0, 45.0])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "oblique"])
def test_every_plane_of_a_tilted_series_passes_though_its_corners_stick_out(degrees: float, plane: str) -> None:
    volume, headers = _acquired(_turned(degrees, (0.8, 0.6, 0.0)))
    step = MultiplanarReformat()
    oblique = {"row_direction": [1, 1, 0], "column_direction": [0, 0, -1]} if plane == "oblique" else {}
    parameters = step.parsed({"plane": plane, "spacing_mm": 9.0, **oblique})
    planes = step.apply(volume, parameters, lambda done, total: None)
    images = derived_series(
        planes,
        headers,
        derivation=step.derivation(parameters),
        algorithm=step.algorithm(parameters),
        uid_parts=("test",),
        effective_time=WHEN,
    )
    for index, image in enumerate(images):
        check_object(Outgoing(part10_bytes(image), place_of_slice(planes, index, volume)))


@pytest.mark.parametrize(("axis", "told"), [(0, False), (1, False), (2, False), (0, True), (1, True), (2, True)])
def test_a_slanted_plane_beyond_the_box_around_its_source_is_refused(axis: int, told: bool) -> None:
    source, _ = _source()
    planes = reformat(source, (1.0, 1.0, 0.0), (0.0, 0.0, -1.0), (9.0, 9.0, 9.0))
    # The grid sticks out by less than half a step; so much further, and a pixel centre is beyond the source.
    moved = np.array(planes.origin_mm) + (9.0 if told else 0.0) * planes.direction[axis]
    planes = replace(planes, origin_mm=tuple(moved))
    last = planes.voxels.shape[0] - 1
    places = place_of_slice(planes, last, source)
    header = Dataset()
    header.Rows, header.Columns = places.shape
    header.FrameOfReferenceUID = source.frame_of_reference_uid
    header.ImagePositionPatient = places.planes[0].position_mm.tolist()
    header.ImageOrientationPatient = places.planes[0].orientation.tolist()
    header.PixelSpacing = [9, 9]
    faults = ["frame 1 lies outside the images that it was made of"] if told else []
    assert check_places(header, places)[2] == faults


def _swap_frames(dataset: Dataset) -> None:
    groups = dataset.PerFrameFunctionalGroupsSequence
    places = [group.PlanePositionSequence for group in groups]
    groups[0].PlanePositionSequence, groups[1].PlanePositionSequence = places[1], places[0]


def _mirror(dataset: Dataset) -> None:
    pixels = np.packbits(dataset.pixel_array[:, :, ::-1].ravel(), bitorder="little").tobytes()
    dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: d.SegmentSequence[0].__delattr__("SegmentLabel"), "SegmentSequence[1].SegmentLabel (type 1)"),
        (_swap_frames, "places: frame 1 lies 3.000 mm away"),
        (_mirror, "content: segment 1 was made of 1200 voxels"),
        (
            lambda d: d.PerFrameFunctionalGroupsSequence[2].__delattr__("PlanePositionSequence"),
            "places: frame 3 tells no place",
        ),
    ],
)
def test_a_damaged_segmentation_is_refused(damage: Callable[[Dataset], object], told: str) -> None:
    with pytest.raises(ObjectRefused) as refused:
        check_object(_outgoing_segmentation(_damaged(_segmentation(), damage)))
    assert told in refused.value.text


def _group(dataset: Dataset) -> Dataset:
    measurements = next(item for item in dataset.ContentSequence if _code(item) == "126010")
    return measurements.ContentSequence[0]


def _code(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _without(parent: Dataset, code: str) -> None:
    parent.ContentSequence = [item for item in parent.ContentSequence if _code(item) != code]


def _number(dataset: Dataset) -> Dataset:
    return next(item for item in _group(dataset).ContentSequence if item.ValueType == "NUM")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: _without(d, "121058"), "template: TID 1500 lacks CODE 121058"),
        (lambda d: _without(_group(d), "112040"), "CONTAINER 125007 lacks UIDREF 112040"),
        (lambda d: setattr(_number(d), "RelationshipType", "HAS PROPERTIES"), "has no row in the template"),
        (lambda d: _number(d).MeasuredValueSequence[0].__delattr__("MeasurementUnitsCodeSequence"), "with a unit"),
        (lambda d: d.__delattr__("CurrentRequestedProcedureEvidenceSequence"), "not in the evidence"),
        (lambda d: d.__delattr__("ContentTemplateSequence"), "there is no template named"),
        (lambda d: setattr(d, "VerificationFlag", "VERIFIED"), "VerifyingObserverSequence is missing although"),
        (lambda d: d.__delattr__("CompletionFlag"), "CompletionFlag (type 1) has no value"),
    ],
)
def test_a_damaged_report_is_refused(damage: Callable[[Dataset], object], told: str) -> None:
    with pytest.raises(ObjectRefused) as refused:
        check_object(Outgoing(_damaged(_report(), damage)))
    assert told in refused.value.text


def _drawn(dataset: Dataset) -> Dataset:
    """The first region of the report on an image."""
    groups = next(item for item in dataset.ContentSequence if _code(item) == "126010").ContentSequence
    return next(item for group in groups for item in group.ContentSequence if item.ValueType == "SCOORD")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda d: d.__delattr__("ContentSequence"), "SCOORD 111030 lacks IMAGE"),
        (lambda d: setattr(d, "GraphicData", [1.0, 2.0, 3.0]), "SCOORD 111030 has no coordinates"),
        (lambda d: setattr(d, "GraphicData", [-5.0, 2.0]), "SCOORD 111030 has no coordinates"),
        (
            lambda d: setattr(d.ContentSequence[0].ReferencedSOPSequence[0], "ReferencedSOPInstanceUID", "1.2.3"),
            "evidence",
        ),
    ],
)
def test_a_damaged_place_is_refused(damage: Callable[[Dataset], object], told: str) -> None:
    content = structured_report(placed_content(), _sources(), UIDS)
    assert check_object(Outgoing(content)).compared["template"] > 100
    with pytest.raises(ObjectRefused) as refused:
        check_object(Outgoing(_damaged(content, lambda dataset: damage(_drawn(dataset)))))
    assert told in refused.value.text


def test_a_refusal_tells_nothing_of_the_patient() -> None:
    content = _damaged(_report(), lambda d: d.__delattr__("VerificationFlag"))
    patient = dcmread(BytesIO(content))
    with pytest.raises(ObjectRefused) as refused:
        check_object(Outgoing(content))
    assert str(patient.PatientName) not in refused.value.text
    assert str(patient.PatientID) not in refused.value.text


def test_the_table_is_that_of_the_standard() -> None:
    """In a process of its own: the tables take 200 MiB."""
    made = subprocess.run(
        [sys.executable, "-c", "from imaging.gate import generate; print(generate.text(), end='')"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == generate.TABLE.read_text()


def _encapsulated_copy(fragments: int, **changes: object) -> tuple[bytes, Dataset]:
    """A copy, and the header of its source."""
    copy = dcmread(BytesIO(_slice()[0]))
    for keyword, value in changes.items():
        setattr(copy, keyword, value)
    source = dcmread(BytesIO(part10_bytes(copy)), stop_before_pixels=True)
    copy.file_meta.TransferSyntaxUID = HTJ2KLosslessRPCL
    copy.PixelData = encapsulate([b"bytes of a frame"] * fragments)
    copy["PixelData"].VR = "OB"
    copy["PixelData"].is_undefined_length = True
    return part10_bytes(copy), source


def test_a_copy_has_the_pixels_of_each_frame() -> None:
    for frames in (1, 3):
        content, source = _encapsulated_copy(frames, NumberOfFrames=frames)
        assert check_object(Outgoing(content, copy_of=source)).compared["pixels"] == frames
    content, source = _encapsulated_copy(2, NumberOfFrames=3)
    with pytest.raises(ObjectRefused, match="pixels: PixelData has 2 fragments for 3 frames"):
        check_object(Outgoing(content, copy_of=source))
    for damage, told in (
        (lambda d: d.__delattr__("PixelData"), "pixels: a copy of an image has no PixelData"),
        (lambda d: setattr(d, "PixelData", encapsulate([b"ab"])[:12]), "pixels: PixelData has 0 fragments"),
    ):
        with pytest.raises(ObjectRefused, match=told):
            check_object(Outgoing(_damaged(content, damage), copy_of=source))


def _header_of_unknown_class(**changes: object) -> Dataset:
    header = dcmread(BytesIO(_slice()[0]))
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.2"
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    return header


def test_a_copy_of_any_class_may_lack_what_its_source_lacks_but_not_move() -> None:
    copy = part10_bytes(_header_of_unknown_class())
    passed = check_object(Outgoing(copy, copy_of=_header_of_unknown_class()))
    assert passed.compared == {"pixels": 1, "places": 1}
    with pytest.raises(ObjectRefused, match="places: PixelSpacing is not that of the source"):
        check_object(Outgoing(copy, copy_of=_header_of_unknown_class(PixelSpacing=[4, 5])))
    damaged = dcmread(BytesIO(_slice()[0]))
    del damaged.Modality
    check_object(Outgoing(part10_bytes(damaged), copy_of=damaged))
    with pytest.raises(ObjectRefused, match="Modality"):
        check_object(Outgoing(part10_bytes(damaged), copy_of=dcmread(BytesIO(_slice()[0]))))
