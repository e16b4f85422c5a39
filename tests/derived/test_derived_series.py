"""Derived series are valid DICOM, point back to their source, and are the same every time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from imaging.derived.derivation import Algorithm, Derivation
from imaging.derived.derived_series import derived_series, derived_series_uid
from imaging.derived.deterministic import part10_bytes
from imaging.errors import InvalidArgument
from imaging.phantom.ct_chest import ct_chest_phantom
from imaging.phantom.ct_series import phantom_datasets
from imaging.volume.assemble import assemble
from imaging.volume.frame_headers import frame_headers
from imaging.volume.resample import resample
from imaging.volume.volume import Volume

WHEN = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
DERIVATION = Derivation("Resampled to cubes", (codes.DCM.SpatialResampling,), "iso 4 mm", "RESAMPLED")
ALGORITHM = Algorithm("resample-isotropic", "1.0", {"spacing_mm": 4.0})
PARTS = ("manifest", "resample-isotropic", "1.0", '{"spacing_mm": 4.0}')


@pytest.fixture(scope="module")
def source() -> tuple[Volume, list[Dataset]]:
    phantom, _ = ct_chest_phantom(spacing_mm=(9.0, 5.0, 4.0))
    return phantom, list(phantom_datasets(phantom))


def _derived(volume: Volume, headers: Sequence[Dataset], **changes: Any) -> list[Dataset]:
    arguments: dict[str, Any] = {
        "derivation": DERIVATION,
        "algorithm": ALGORITHM,
        "uid_parts": PARTS,
        "effective_time": WHEN,
        **changes,
    }
    return list(derived_series(volume, headers, **arguments))


def _read_back(datasets: Sequence[Dataset]) -> Volume:
    again = [dcmread(BytesIO(part10_bytes(dataset))) for dataset in datasets]
    return assemble([(frame_headers(dataset)[0], dataset.pixel_array) for dataset in again])


def _slices(name: str, count: int = 4) -> tuple[Volume, list[Dataset]]:
    """A small series made of one file of the pydicom wheel, repeated along its normal."""
    headers = []
    for index in range(count):
        dataset = dcmread(str(get_testdata_file(name, download=False)))
        row, column = np.split(np.array([float(value) for value in dataset.ImageOrientationPatient]), 2)
        place = np.array([float(value) for value in dataset.ImagePositionPatient]) + 5 * index * np.cross(row, column)
        dataset.ImagePositionPatient = [f"{value:.8g}" for value in place]
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{index}"
        headers.append(dataset)
    return assemble([(frame_headers(header)[0], header.pixel_array) for header in headers]), headers


def test_a_derived_series_reads_back_as_the_volume(source: tuple[Volume, list[Dataset]]) -> None:
    phantom, headers = source
    cubes = resample(phantom, (4.0, 4.0, 4.0))
    again = _read_back(_derived(cubes, headers))
    assert np.array_equal(again.voxels, cubes.voxels)
    assert again.voxels.dtype == np.int16
    assert np.allclose(again.affine, cubes.affine, atol=1e-8)
    assert again.units == "[hnsf'U]"
    assert again.slice_thickness_mm == phantom.slice_thickness_mm
    assert again.frame_of_reference_uid == phantom.frame_of_reference_uid
    assert again.attributes.items() >= {"ConvolutionKernel": "SOFT", "BodyPartExamined": "CHEST", "KVP": "120"}.items()


def test_the_same_request_gives_the_same_bytes(source: tuple[Volume, list[Dataset]]) -> None:
    phantom, headers = source
    first, second = (
        [part10_bytes(dataset) for dataset in _derived(resample(phantom, (4.0,) * 3), headers)] for _ in range(2)
    )
    assert first == second
    other = [part10_bytes(dataset) for dataset in _derived(phantom, headers, uid_parts=("other",))]
    assert other[0] != part10_bytes(_derived(phantom, headers)[0])


def test_patient_study_and_frame_of_reference_are_those_of_the_source(source: tuple[Volume, list[Dataset]]) -> None:
    phantom, headers = source
    for dataset in _derived(phantom, headers):
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID", "Modality"):
            assert dataset[keyword].value == headers[0][keyword].value
        assert dataset.SeriesInstanceUID == derived_series_uid(PARTS)
        assert dataset.SeriesInstanceUID != headers[0].SeriesInstanceUID
        assert (dataset.ContentDate, dataset.ContentTime) == ("20310506", "070809")


def test_every_image_says_how_and_from_what_it_was_derived(source: tuple[Volume, list[Dataset]]) -> None:
    phantom, headers = source
    datasets = _derived(resample(phantom, (4.0, 4.0, 4.0)), headers)
    known = {header.SOPInstanceUID for header in headers}
    for dataset in datasets:
        assert list(dataset.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "RESAMPLED"]
        assert "Resampled to cubes" in dataset.DerivationDescription
        assert '{"spacing_mm": 4.0}' in dataset.DerivationDescription
        assert dataset.DerivationCodeSequence[0].CodeValue == "113085"
        assert dataset.SeriesDescription.endswith("iso 4 mm")
        assert 1 <= len(dataset.SourceImageSequence) <= 2
        assert {item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence} <= known
        purposes = [
            item.PurposeOfReferenceCodeSequence[0].CodeMeaning for item in dataset.ContributingEquipmentSequence
        ]
        assert purposes == ["Acquisition Equipment", "Processing Equipment"]
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(datasets)
    assert len({item.ReferencedSOPInstanceUID for d in datasets for item in d.SourceImageSequence}) == len(known)


def test_a_slice_on_its_source_slice_has_one_source(source: tuple[Volume, list[Dataset]]) -> None:
    phantom, headers = source
    for index, dataset in enumerate(_derived(phantom, headers)):
        (item,) = dataset.SourceImageSequence
        assert item.ReferencedSOPInstanceUID == phantom.frames[index].sop_instance_uid
        assert "ReferencedFrameNumber" not in item


def test_planes_across_the_slices_share_the_items_that_name_their_sources(source: tuple[Volume, list[Dataset]]) -> None:
    phantom, headers = source
    across = replace(phantom, sources=(phantom.frames,) * phantom.voxels.shape[0])
    first, *others = _derived(across, headers)
    assert [item.ReferencedSOPInstanceUID for item in first.SourceImageSequence] == [
        frame.sop_instance_uid for frame in phantom.frames
    ]
    for other in others:
        assert all(a is b for a, b in zip(first.SourceImageSequence, other.SourceImageSequence, strict=True))


def test_fractions_are_stored_within_half_a_step(source: tuple[Volume, list[Dataset]]) -> None:
    phantom, headers = source
    smooth = replace(phantom, voxels=(phantom.voxels * np.float32(0.37) + np.float32(0.001)).astype(np.float32))
    datasets = _derived(smooth, headers)
    half_step = float(datasets[0].RescaleSlope) / 2
    assert half_step < 0.02
    assert np.abs(_read_back(datasets).voxels - smooth.voxels).max() <= half_step * 1.01


def test_an_mr_series_stays_mr_without_any_rescale() -> None:
    volume, headers = _slices("MR_small.dcm")
    datasets = _derived(volume, headers)
    assert {dataset.SOPClassUID.name for dataset in datasets} == {"MR Image Storage"}
    assert "RescaleSlope" not in datasets[0]
    assert datasets[0].EchoTime == headers[0].EchoTime
    assert np.array_equal(_read_back(datasets).voxels, volume.voxels)


def test_other_modalities_become_secondary_capture_with_place_and_scale() -> None:
    volume, headers = _slices("CT_small.dcm")
    for header in headers:
        header.Modality = "PT"
    volume = replace(volume, modality="PT", units="g/mL", voxels=(volume.voxels / np.float32(7)).astype(np.float32))
    datasets = _derived(volume, headers)
    assert {dataset.SOPClassUID.name for dataset in datasets} == {"Secondary Capture Image Storage"}
    assert datasets[0].PatientOrientation == ["L", "P"]
    again = _read_back(datasets)
    assert np.allclose(again.affine, volume.affine)
    assert np.abs(again.voxels - volume.voxels).max() <= float(datasets[0].RescaleSlope)


def test_frames_of_a_multi_frame_source_are_named_by_number() -> None:
    dataset = dcmread(str(get_testdata_file("rtdose.dcm", download=False)))
    volume = assemble(list(zip(frame_headers(dataset), dataset.pixel_array, strict=True)))
    datasets = _derived(volume, [dataset])
    assert [item.SourceImageSequence[0].ReferencedFrameNumber for item in datasets] == list(range(1, 16))


def test_padding_and_lossy_compression_are_told_on() -> None:
    volume, headers = _slices("CT_small.dcm")
    for header in headers:
        header.LossyImageCompression = "01"
        header.LossyImageCompressionRatio = "10"
    dataset = _derived(volume, headers)[0]
    assert dataset.PixelPaddingValue == -3024
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 10)


def test_the_window_of_the_source_is_kept_only_where_values_keep_their_meaning() -> None:
    phantom, _ = ct_chest_phantom(spacing_mm=(9.0, 5.0, 4.0))
    headers = list(phantom_datasets(phantom))
    assert _derived(phantom, headers)[0].WindowCenter == headers[0].WindowCenter
    changed = _derived(phantom, headers, derivation=replace(DERIVATION, keeps_values=False))[0]
    assert changed.WindowWidth == int(phantom.voxels.max()) - int(phantom.voxels.min()) + 1


def test_the_window_of_small_fractions_is_as_wide_as_they_are_and_leaves_padding_out() -> None:
    phantom, _ = ct_chest_phantom(spacing_mm=(9.0, 5.0, 4.0))
    headers = list(phantom_datasets(phantom))
    fractions = np.random.default_rng(1).uniform(0.001, 0.003, phantom.voxels.shape).astype(np.float32)
    fractions[:, :2] = -0.5
    volume = replace(phantom, voxels=fractions, attributes={"PixelPaddingValue": "-0.5"})
    dataset = _derived(volume, headers, derivation=replace(DERIVATION, keeps_values=False))[0]
    assert dataset.VOILUTFunction == "LINEAR_EXACT"
    assert float(dataset.WindowCenter) == pytest.approx(0.002, abs=1e-5)
    assert float(dataset.WindowWidth) == pytest.approx(0.002, abs=1e-5)


def test_private_attributes_do_not_travel() -> None:
    volume, headers = _slices("CT_small.dcm")
    assert any(element.tag.is_private for element in headers[0])
    assert not any(element.tag.is_private for element in _derived(volume, headers)[0].iterall())


def test_what_the_caller_forgot_is_told(source: tuple[Volume, list[Dataset]]) -> None:
    phantom, headers = source
    with pytest.raises(InvalidArgument, match="headers"):
        _derived(phantom, [])
    with pytest.raises(InvalidArgument, match="header was not given"):
        _derived(phantom, headers[:3])
    with pytest.raises(InvalidArgument, match="time zone"):
        _derived(phantom, headers, effective_time=datetime(2031, 5, 6))
    broken = phantom.voxels.astype(np.float32)
    broken[0, 0, 0] = np.nan
    with pytest.raises(InvalidArgument, match="finite"):
        _derived(replace(phantom, voxels=broken), headers)


def _errors(program: str, file: Path) -> set[str]:
    told = subprocess.run([program, str(file)], capture_output=True, text=True, check=False)
    return {line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")}


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["phantom", "CT_small.dcm", "MR_small.dcm", "as secondary capture"])
def test_dciodvfy_finds_no_error_that_the_source_does_not_have(kind: str, tmp_path: Path) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy of the package dicom3tools is not installed")
    if kind == "phantom":
        volume, _ = ct_chest_phantom(spacing_mm=(9.0, 5.0, 4.0))
        headers = list(phantom_datasets(volume))
    else:
        volume, headers = _slices("MR_small.dcm" if kind == "as secondary capture" else kind)
    (tmp_path / "source.dcm").write_bytes(part10_bytes(headers[0]))
    if kind == "as secondary capture":
        volume = replace(volume, modality="OT")
    for spacing in (volume.spacing_mm, (2.5, 2.0, 2.0)):
        dataset = _derived(resample(volume, spacing), headers)[1]
        (tmp_path / "derived.dcm").write_bytes(part10_bytes(dataset))
        assert _errors(program, tmp_path / "derived.dcm") <= _errors(program, tmp_path / "source.dcm")
