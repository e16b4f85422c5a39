"""The synchronous client against a real storage service."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.pixels import apply_modality_lut

import imaging
from imaging.client.results import StoreProgress
from imaging.client.sync_client import Client
from imaging.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from imaging.phantom.ct_series import write_phantom

WHEEL = Path(pydicom.data.__file__).parent / "test_files"

pytestmark = pytest.mark.xdist_group("client-storage")


@pytest.fixture(scope="module")
def client(storage_address: str) -> Iterator[Client]:
    with imaging.connect({"storage": storage_address}) as connected:
        yield connected


@pytest.fixture(scope="module")
def wheel(client: Client) -> list[str]:
    """Names of the stored instances of all files of the pydicom wheel."""
    summary = client.store(WHEEL)
    return sorted({file.instance for file in summary.stored})


def test_each_file_of_a_mixed_folder_has_its_own_result(client: Client) -> None:
    steps: list[StoreProgress] = []
    summary = client.store(WHEEL, progress=steps.append)
    files = [path for path in WHEEL.rglob("*") if path.is_file()]
    assert sorted(file.path for file in summary.files) == sorted(files)
    assert len(summary.stored) > 60
    assert all(file.error and file.error.text for file in summary.rejected)
    assert all(file.note for file in summary.skipped)
    by_name = {file.path.name: file for file in summary.files}
    assert by_name["MR_truncated.dcm"].error.reason == "TRUNCATED_DICOM"  # type: ignore[union-attr]
    assert by_name["no_meta.dcm"].error.reason == "NOT_DICOM"  # type: ignore[union-attr]
    assert by_name["CT_small.dcm"].study.startswith("studies/1.3.6.1.4.1.5962.1.2.1.")
    assert [step.files_done for step in steps] == list(range(1, len(files) + 1))
    assert steps[-1].bytes_done == steps[-1].bytes_total == sum(path.stat().st_size for path in files)


def test_storing_again_stores_nothing_new(client: Client) -> None:
    client.store(WHEEL / "CT_small.dcm")
    (again,) = client.store([WHEEL / "CT_small.dcm"]).files
    assert again.status == "already_stored"


def test_headerless_data_set_is_stored_when_its_syntax_is_told(client: Client, tmp_path: Path) -> None:
    whole = (WHEEL / "CT_small.dcm").read_bytes()
    group_length = int(pydicom.dcmread(WHEEL / "CT_small.dcm").file_meta.FileMetaInformationGroupLength)
    (tmp_path / "headerless").write_bytes(whole[128 + 4 + 12 + group_length :])
    (refused,) = client.store(tmp_path).files
    assert refused.error is not None
    assert "--raw" in refused.error.hint
    (taken,) = client.store(tmp_path, headerless_transfer_syntax_uid="1.2.840.10008.1.2.1").files
    assert taken.error is None
    assert taken.instance.endswith(str(pydicom.dcmread(WHEEL / "CT_small.dcm").SOPInstanceUID))


def test_frames_equal_pydicoms_wherever_pydicom_decodes(client: Client, wheel: list[str]) -> None:
    compared = 0
    for name in wheel:
        ((_, content),) = client.retrieve(name)
        dataset = pydicom.dcmread(io.BytesIO(content))
        if "PixelData" not in dataset:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = dataset.pixel_array
        except Exception:  # noqa: BLE001 - what pydicom cannot decode here is not compared
            continue
        series, _, uid = name.rpartition("/instances/")
        frames = [frame.pixels for frame in client.frames(series, sop_instance_uids=[uid])]
        stacked = np.stack(frames) if int(dataset.get("NumberOfFrames") or 1) > 1 else frames[0]
        assert stacked.dtype == expected.dtype, name
        if dataset.file_meta.TransferSyntaxUID in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"):
            # Decoders of lossy JPEG may differ by how they round (ISO 10918-2).
            assert np.abs(stacked.astype(int) - expected.astype(int)).max() <= 3, name
        else:
            np.testing.assert_array_equal(stacked, expected, err_msg=name)
        compared += 1
    assert compared > 35


def test_series_without_geometry_is_a_stack_after_the_modality_lut(client: Client) -> None:
    (file,) = client.store(WHEEL / "CT_small.dcm").files
    (series,) = client.series(file.study)
    dataset = pydicom.dcmread(WHEEL / "CT_small.dcm")
    image = series.to_numpy()
    assert not image.is_volume
    assert "2" in image.not_a_volume or "slice" in image.not_a_volume
    assert image.shape == (1, 128, 128)
    np.testing.assert_array_equal(image.array[0], apply_modality_lut(dataset.pixel_array, dataset))
    np.testing.assert_array_equal(series.to_numpy(rescale=False).array[0], dataset.pixel_array)
    assert image.frames == ((str(dataset.SOPInstanceUID), 1),)


def test_multi_frame_colour_image_is_a_stack_of_its_frames(client: Client) -> None:
    dataset = pydicom.dcmread(WHEEL / "examples_ybr_color.dcm")
    (file,) = client.store(WHEEL / "examples_ybr_color.dcm").files
    (series,) = client.series(file.study)
    assert series.frame_count == 30
    assert series.to_numpy().shape == (30, 240, 320, 3)
    assert [frame.frame_number for frame in series.frames()] == list(range(1, 31))
    assert dataset.NumberOfFrames == 30


def test_volume_comes_with_its_place_in_the_patient(client: Client, tmp_path: Path) -> None:
    write_phantom(tmp_path, spacing_mm=(12.0, 6.0, 6.0))
    summary = client.store(tmp_path)
    (series,) = client.series(summary.studies[0])
    volume = series.to_numpy()
    assert volume.is_volume
    assert volume.units == "[hnsf'U]"
    assert volume.spacing_mm == pytest.approx((12.0, 6.0, 6.0))
    assert volume.orientation == pytest.approx((1, 0, 0, 0, 1, 0))
    assert volume.shape[0] == series.instance_count
    files = [pydicom.dcmread(path) for path in tmp_path.iterdir()]
    files.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    expected = np.stack([apply_modality_lut(dataset.pixel_array, dataset) for dataset in files])
    np.testing.assert_array_equal(np.asarray(volume), expected)
    np.testing.assert_array_equal(series.to_numpy(rescale=False).array, [dataset.pixel_array for dataset in files])
    assert volume.origin_mm == pytest.approx([float(v) for v in files[0].ImagePositionPatient])
    # Frames come in the order of instance number, which here runs against the positions.
    frames = list(series.frames(rescale=True))
    np.testing.assert_array_equal(frames[0].pixels, expected[-1])


def test_studies_are_found_by_python_or_dicom_names(client: Client, wheel: list[str]) -> None:
    dataset = pydicom.dcmread(WHEEL / "CT_small.dcm")
    (by_python,) = client.search_studies(patient_id=dataset.PatientID)
    (by_dicom,) = client.search_studies(PatientID=dataset.PatientID)
    assert by_python == by_dicom == client.study(by_python)
    assert by_python.study_instance_uid == dataset.StudyInstanceUID
    assert len(client.studies()) > 10
    assert client.search_studies(limit=3) == client.studies()[:3]
    with pytest.raises(InvalidArgument):
        client.search_studies(favourite_colour="red")


def test_whole_objects_come_back_byte_for_byte(client: Client) -> None:
    folder = WHEEL / "dicomdirtests" / "98892001"
    study = client.store(folder).studies[0]
    sent = sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert sorted(content for _, content in client.retrieve(study)) == sent


def test_metadata_are_the_models_of_all_instances(client: Client, wheel: list[str]) -> None:
    for series in client.series(modality="MR"):
        models = client.metadata(series)
        names = [f"{series.name}/instances/{model['00080018']['Value'][0]}" for model in models]
        assert len(set(names)) == series.instance_count
        assert set(names) <= set(wheel)
    (one,) = client.metadata(wheel[0])
    assert wheel[0].endswith(one["00080018"]["Value"][0])
    with pytest.raises(NotFound):
        client.metadata("studies/1.2.3.4")


def test_half_read_iteration_ends_cleanly(client: Client, wheel: list[str]) -> None:
    for _ in client.retrieve(client.studies()[0].name):
        break
    for _ in client.frames(client.series(body_part_examined="HEAD")[0]):
        break


def test_unknown_names_are_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        client.study("1.2.3.4")
    with pytest.raises(NotFound):
        client.to_numpy("studies/1.2.3/series/4.5.6")


def test_absent_service_is_unavailable_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM")
    with imaging.connect("127.0.0.1:1") as absent, pytest.raises(Unavailable, match="imaging up"):
        absent.store(tmp_path)


def test_closed_client_says_so_and_leaves_no_thread(storage_address: str) -> None:
    client = imaging.connect({"storage": storage_address})
    assert client.studies() is not None
    client.close()
    client.close()
    with pytest.raises(FailedPrecondition, match="closed"):
        client.studies()
    assert not [thread for thread in threading.enumerate() if thread.name == "imaging-client" and thread.is_alive()][1:]
