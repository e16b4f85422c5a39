"""Small CT series for tests: a round body in air, made from a seed, so that the same seed gives the same bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from imaging.derived.deterministic import part10_bytes
from imaging.dicom.uid import derived_uid


@dataclass(frozen=True, slots=True)
class CtSeries:
    """A series as it would be sent."""

    study_instance_uid: str
    series_instance_uid: str
    instances: dict[str, bytes]
    """Part 10 bytes by SOP Instance UID, in slice order."""

    @property
    def study(self) -> str:
        """`studies/{uid}`."""
        return f"studies/{self.study_instance_uid}"

    @property
    def series(self) -> str:
        """`studies/{uid}/series/{uid}`."""
        return f"{self.study}/series/{self.series_instance_uid}"


def ct_series(
    seed: str,
    *,
    slices: int = 8,
    size: int = 64,
    spacing_mm: float = 4.0,
    first_slice: int = 0,
    body_part: str = "",
    study_seed: str | None = None,
    attributes: dict[str, str] | None = None,
) -> CtSeries:
    """A CT series of `slices` images of `size` x `size` pixels, `spacing_mm` in all directions.

    `first_slice` shifts the slice numbers, so that further slices of the same series can be made; `study_seed` puts the
    series into the study of another seed; `attributes` sets further attributes by keyword.
    """
    study_uid, series_uid = derived_uid("study", study_seed or seed), derived_uid("series", seed)
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    inside = rows**2 + columns**2 < (size * 0.4) ** 2
    instances = {}
    for index in range(first_slice, first_slice + slices):
        noise = np.random.default_rng([index, *seed.encode()]).normal(0, 10, (size, size))
        hounsfield = np.where(inside, 40 + noise, -1000)
        dataset = Dataset()
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = derived_uid("instance", seed, str(index))
        dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20260102"
        dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "030405"
        dataset.AccessionNumber = "A1"
        dataset.Modality = "CT"
        dataset.Manufacturer = "Test"
        dataset.ReferringPhysicianName = ""
        dataset.StudyDescription = "Round body"
        dataset.PatientName = f"Round^{seed}"
        dataset.PatientID = f"ID-{seed}"
        dataset.PatientBirthDate = "19700101"
        dataset.PatientSex = "O"
        dataset.BodyPartExamined = body_part
        dataset.SliceThickness = spacing_mm
        dataset.KVP = "120"
        dataset.ConvolutionKernel = "SOFT"
        dataset.StudyInstanceUID = study_uid
        dataset.SeriesInstanceUID = series_uid
        dataset.StudyID = "1"
        dataset.SeriesNumber = 1
        dataset.AcquisitionNumber = 1
        dataset.InstanceNumber = index + 1
        dataset.ImagePositionPatient = [0.0, 0.0, index * spacing_mm]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.FrameOfReferenceUID = derived_uid("frame", seed)
        dataset.PositionReferenceIndicator = ""
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.Rows = dataset.Columns = size
        dataset.PixelSpacing = [spacing_mm, spacing_mm]
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit = 15
        dataset.PixelRepresentation = 1
        dataset.RescaleIntercept = 0
        dataset.RescaleSlope = 1
        dataset.RescaleType = "HU"
        for keyword, value in (attributes or {}).items():
            setattr(dataset, keyword, value)
        dataset.PixelData = hounsfield.astype("<i2").tobytes()
        dataset.file_meta = _file_meta()
        instances[str(dataset.SOPInstanceUID)] = part10_bytes(dataset)
    return CtSeries(study_uid, series_uid, instances)


def _file_meta() -> Dataset:
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta
