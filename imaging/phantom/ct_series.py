"""The CT chest phantom as a DICOM series."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from imaging.derived.deterministic import part10_bytes
from imaging.derived.equipment import product_equipment
from imaging.phantom.ct_chest import DEFAULT_SPACING_MM, LOWEST_HU, ct_chest_phantom
from imaging.phantom.truth import PhantomTruth
from imaging.volume.volume import Volume

_MADE: Final = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)


def write_phantom(
    folder: Path, seed: int = 1, spacing_mm: tuple[float, float, float] = DEFAULT_SPACING_MM
) -> PhantomTruth:
    """Write the phantom as `slice-001.dcm` … into a folder (made if it is not there); the truth comes back.

    The bytes are the same in every run. Slices are numbered from the head down, against the order of their positions
    along the normal, as scanners do: who sorts by InstanceNumber gets the patient upside down.
    """
    folder.mkdir(parents=True, exist_ok=True)
    volume, truth = ct_chest_phantom(seed, spacing_mm)
    for dataset in phantom_datasets(volume):
        (folder / f"slice-{int(dataset.InstanceNumber):03d}.dcm").write_bytes(part10_bytes(dataset))
    return truth


def phantom_datasets(volume: Volume) -> Iterator[Dataset]:
    """One CT image (PS3.3 A.3) for each slice of a phantom, from the head down; 12 bits, intercept -1024."""
    count = len(volume.frames)
    for index in reversed(range(count)):
        yield _instance(volume, index, instance_number=count - index)


def _instance(volume: Volume, index: int, instance_number: int) -> Dataset:
    dataset = Dataset()
    _patient_and_study(dataset, volume)
    _series(dataset, volume)
    date, time = _MADE.strftime("%Y%m%d"), _MADE.strftime("%H%M%S")
    for step in ("InstanceCreation", "Acquisition", "Content"):
        setattr(dataset, f"{step}Date", date)
        setattr(dataset, f"{step}Time", time)
    frame = volume.frames[index]
    dataset.SOPClassUID = frame.sop_class_uid
    dataset.SOPInstanceUID = frame.sop_instance_uid
    dataset.InstanceNumber = instance_number
    dataset.AcquisitionNumber = 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP = "120"
    dataset.ConvolutionKernel = "SOFT"
    dataset.GantryDetectorTilt = "0"
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"

    slice_mm, row_mm, column_mm = volume.spacing_mm
    x, y, _ = volume.origin_mm
    z = volume.origin_mm[2] + index * slice_mm
    dataset.PixelSpacing = [_decimal(row_mm), _decimal(column_mm)]
    dataset.SliceThickness = _decimal(slice_mm)
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.ImagePositionPatient = [_decimal(x), _decimal(y), _decimal(z)]
    dataset.SliceLocation = _decimal(z)

    stored = (volume.voxels[index].astype(np.int32) - int(LOWEST_HU)).astype("<u2")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept = _decimal(LOWEST_HU)
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "HU"
    dataset.WindowCenter = ["40", "-600"]
    dataset.WindowWidth = ["400", "1500"]
    dataset.WindowCenterWidthExplanation = ["SOFT TISSUE", "LUNG"]
    dataset.PixelData = stored.tobytes()
    return dataset


def _patient_and_study(dataset: Dataset, volume: Volume) -> None:
    dataset.PatientName = "Phantom^Chest"
    dataset.PatientID = "PHANTOM-CHEST"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Generated: there is no patient"
    dataset.StudyInstanceUID = volume.study_instance_uid
    dataset.StudyDate = _MADE.strftime("%Y%m%d")
    dataset.StudyTime = _MADE.strftime("%H%M%S")
    dataset.StudyID = "PHANTOM"
    dataset.StudyDescription = "Generated CT chest phantom"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""


def _series(dataset: Dataset, volume: Volume) -> None:
    equipment = product_equipment()
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = volume.series_instance_uid
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "Chest phantom, soft kernel"
    dataset.SeriesDate = _MADE.strftime("%Y%m%d")
    dataset.SeriesTime = _MADE.strftime("%H%M%S")
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.ProtocolName = "Chest phantom"
    dataset.FrameOfReferenceUID = volume.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = equipment.manufacturer
    dataset.ManufacturerModelName = "Generated CT phantom"
    # No version of ours: the bytes of the phantom do not change when the product does.
    dataset.DeviceSerialNumber = equipment.device_serial_number


def _decimal(value: float) -> str:
    """A decimal string, at most 16 characters (PS3.5 6.2, DS)."""
    return f"{value:.10g}"
