"""PET phantoms of known uptake, as DICOM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage

from imaging.dicom.uid import derived_uid

WEIGHT_KG, DOSE_BQ, HALF_LIFE_S = 80.0, 400e6, 6586.2
SPACING_MM = 4.0
BACKGROUND_SUV = 1.0
BALLS = {(16, 20, 20): (20.0, 10.0), (16, 45, 40): (13.0, 5.0)}
"""Centre as (slice, row, column): radius in millimetres and SUV."""

SHAPE = (32, 64, 64)


def uptake() -> NDArray[np.float64]:
    """SUV by voxel; a voxel belongs to a ball if its centre does."""
    suv = np.full(SHAPE, BACKGROUND_SUV)
    places = np.stack(np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]], axis=-1)
    for centre, (radius_mm, value) in BALLS.items():
        suv[np.linalg.norm((places - centre) * SPACING_MM, axis=-1) <= radius_mm] = value
    return suv


def pet_headers(
    decay_correction: str = "START", waited_s: float = 3600.0, *, attributes: Mapping[str, Any] | None = None
) -> list[Dataset]:
    """The phantom as PET images in BQML with pixels, the scan at 11:00 on a day."""
    left = DOSE_BQ * (2 ** (-waited_s / HALF_LIFE_S) if decay_correction == "START" else 1.0)
    activity = uptake() * left / (WEIGHT_KG * 1000)
    slope = float(activity.max() / 30000)
    injected = 11 * 3600 - waited_s
    headers = []
    for index in range(SHAPE[0]):
        dataset = Dataset()
        dataset.file_meta = Dataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.SOPClassUID = PositronEmissionTomographyImageStorage
        dataset.SOPInstanceUID = derived_uid("pet", str(index))
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = derived_uid("pet study"), derived_uid("pet series")
        dataset.FrameOfReferenceUID = derived_uid("pet frame")
        dataset.Modality, dataset.Units, dataset.DecayCorrection = "PT", "BQML", decay_correction
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        dataset.CorrectedImage = ["DECY", "ATTN", "SCAT"]
        dataset.PatientID, dataset.PatientName, dataset.PatientWeight = "PET-1", "Phantom^Pet", str(WEIGHT_KG)
        for step in ("Study", "Series", "Acquisition", "Content"):
            setattr(dataset, f"{step}Date", "20310506")
            setattr(dataset, f"{step}Time", "110000")
        # Later bed positions are acquired later; the series begins with the first.
        dataset.AcquisitionTime = f"11{index // 16 * 3:02d}00.00"
        dataset.InstanceNumber = index + 1
        agent = Dataset()
        agent.RadionuclideTotalDose, agent.RadionuclideHalfLife = str(DOSE_BQ), str(HALF_LIFE_S)
        agent.RadiopharmaceuticalStartTime = (
            f"{int(injected // 3600) % 24:02d}{int(injected // 60) % 60:02d}{int(injected) % 60:02d}.00"
        )
        dataset.RadiopharmaceuticalInformationSequence = [agent]
        dataset.PixelSpacing = [SPACING_MM, SPACING_MM]
        dataset.SliceThickness = SPACING_MM
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [-128, -128, index * SPACING_MM]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns = SHAPE[1:]
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{slope:.8g}", "0"
        dataset.PixelData = np.round(activity[index] / slope).astype("<u2").tobytes()
        for keyword, value in (attributes or {}).items():
            setattr(dataset, keyword, value)
        headers.append(dataset)
    return headers
