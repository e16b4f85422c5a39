"""What is stored and read: generated CT slices, MR slices and one object of many frames, as Part 10 bytes in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, MRImageStorage

_ROOT = "1.2.826.0.1.3680043.10.1600"
_SEED = 20260101


@dataclass(frozen=True, slots=True)
class Series:
    """The files of one series, and where it is found again."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    files: tuple[bytes | Path, ...]
    """Part 10 bytes; one that is too large for memory is a file."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in self.files)

    @property
    def name(self) -> str:
        """Resource name, in gRPC as in DICOMweb."""
        return f"studies/{self.study_instance_uid}/series/{self.series_instance_uid}"


class Work:
    """Makes series whose UIDs were never used before, so that each run stores new instances."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(_SEED)
        self._count = 0

    def ct(self, slices: int) -> Series:
        """CT slices, 512 x 512 x 16 bit, 525 KB each."""
        return self._series("CT", slices, 512, 1)

    def mr(self, slices: int) -> Series:
        """MR slices, 256 x 256 x 16 bit, 132 KB each."""
        return self._series("MR", slices, 256, 1)

    def many_frames(self, frames: int) -> Series:
        """One CT object with many frames, 256 x 256 x 16 bit each."""
        return self._series("CT", 1, 256, frames)

    def long_ct(self, slices: int, at_once: int) -> Iterator[Series]:
        """The slices of one CT series, so many at a time: all of them would fill the memory of whoever sends them."""
        self._count += 1
        pixels = _pixels(self._random, 512)
        for first in range(1, slices + 1, at_once):
            yield self._part("CT", range(first, min(first + at_once, slices + 1)), pixels, 1)

    def huge_object(self, path: Path, frames: int) -> Series:
        """One CT object with so many frames as `many_frames`, written to a file; 16,384 frames are 2 GiB."""
        one = self._series("CT", 1, 256, 1)
        (content,) = one.files
        frame_bytes = 256 * 256 * 2
        image = pydicom.dcmread(BytesIO(content))
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
        image.NumberOfFrames = frames
        content = _encoded(image)
        with path.open("wb") as file:
            file.write(content[: -frame_bytes - 4] + (frames * frame_bytes).to_bytes(4, "little"))
            for _ in range(frames):
                file.write(content[-frame_bytes:])
        return Series(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uids, (path,))

    def _series(self, modality: str, slices: int, size: int, frames: int) -> Series:
        self._count += 1
        return self._part(modality, range(1, slices + 1), _pixels(self._random, size), frames)

    def _part(self, modality: str, numbers: Sequence[int], pixels: np.ndarray, frames: int) -> Series:
        study, series = f"{_ROOT}.1.{self._count}", f"{_ROOT}.2.{self._count}"
        uids = tuple(f"{_ROOT}.3.{self._count}.{number}" for number in numbers)
        files = tuple(
            _file(modality, study, series, uid, number, pixels, frames)
            for number, uid in zip(numbers, uids, strict=True)
        )
        return Series(study, series, uids, files)


def _pixels(random: np.random.Generator, size: int) -> np.ndarray:
    """A disc in noise; the values of a CT, and nothing that a compressing file system could shrink away."""
    rows, columns = np.ogrid[:size, :size]
    disc = ((rows - size / 2) ** 2 + (columns - size / 2) ** 2) < (0.4 * size) ** 2
    noise = random.normal(0, 25, (size, size))
    return (np.where(disc, 1064, 24) + noise).clip(0, 4095).astype("<u2")


def _file(modality: str, study: str, series: str, uid: str, number: int, pixels: np.ndarray, frames: int) -> bytes:
    sop_class = MRImageStorage if modality == "MR" else CTImageStorage if frames == 1 else EnhancedCTImageStorage
    data_set = _header(modality, study, series, uid, number)
    data_set.SOPClassUID = sop_class
    data_set.Rows, data_set.Columns = pixels.shape
    if frames > 1:
        data_set.NumberOfFrames = frames
    data_set.PixelData = np.roll(pixels, number, axis=0).tobytes() * frames
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = f"{_ROOT}.9"
    data_set.file_meta = meta
    return _encoded(data_set)


def _encoded(data_set: Dataset) -> bytes:
    buffer = BytesIO()
    data_set.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _header(modality: str, study: str, series: str, uid: str, number: int) -> Dataset:
    """The attributes of a usual scanner's slice, with a sequence and private elements."""
    data_set = Dataset()
    data_set.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data_set.SOPInstanceUID, data_set.StudyInstanceUID, data_set.SeriesInstanceUID = uid, study, series
    data_set.StudyDate = data_set.SeriesDate = data_set.AcquisitionDate = data_set.ContentDate = "20260101"
    data_set.StudyTime = data_set.SeriesTime = data_set.AcquisitionTime = data_set.ContentTime = "101500"
    data_set.AccessionNumber, data_set.Modality, data_set.Manufacturer = "BENCHMARK", modality, "Generated"
    data_set.StudyDescription, data_set.SeriesDescription = "Benchmark", "Disc in noise"
    data_set.ManufacturerModelName, data_set.BodyPartExamined = "Generator", "CHEST"
    data_set.PatientName, data_set.PatientID, data_set.PatientSex = "Benchmark^Disc", "BENCHMARK", "O"
    data_set.SliceThickness, data_set.SpacingBetweenSlices, data_set.PatientPosition = "1.0", "1.0", "HFS"
    data_set.ProtocolName, data_set.StudyID, data_set.SeriesNumber = "Benchmark", "1", 1
    data_set.AcquisitionNumber, data_set.InstanceNumber = 1, number
    data_set.FrameOfReferenceUID = series + ".1"
    data_set.ImagePositionPatient = [-250.0, -250.0, float(number)]
    data_set.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    data_set.SliceLocation, data_set.PixelSpacing = float(number), [0.9765625, 0.9765625]
    if modality == "CT":
        data_set.KVP, data_set.XRayTubeCurrent, data_set.ExposureTime = "120", 200, 500
        data_set.ConvolutionKernel, data_set.GantryDetectorTilt = "STANDARD", "0"
        data_set.RescaleIntercept, data_set.RescaleSlope, data_set.RescaleType = "-1024", "1", "HU"
    data_set.WindowCenter, data_set.WindowWidth = "40", "400"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "77477000", "SCT", "CT of chest"
    data_set.ProcedureCodeSequence = [code]
    block = data_set.private_block(0x0019, "GENERATED", create=True)
    for element in range(0x02, 0x22):
        block.add_new(element, "LO", f"private value {element}")
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit, data_set.PixelRepresentation = 16, 12, 11, 0
    return data_set
