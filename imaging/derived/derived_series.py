"""A processed volume as a DICOM series that points back to its source."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from imaging.derived.carried_over import (
    ACQUISITION,
    CT_ACQUISITION,
    MR_ACQUISITION,
    PATIENT_AND_STUDY,
    SERIES,
    add_empty,
    carry_over,
)
from imaging.derived.derivation import Algorithm, Derivation
from imaging.derived.dicom_time import da_value, offset_zone, tm_value
from imaging.derived.equipment import coded, contribution, set_equipment
from imaging.derived.patient_orientation import direction_letters
from imaging.derived.source_images import SourceImages
from imaging.derived.stored_values import StoredScale, ds_text, stored_scale
from imaging.dicom.uid import derived_uid
from imaging.errors import InvalidArgument
from imaging.volume.padding import is_padding, padding_value
from imaging.volume.value_units import HOUNSFIELD
from imaging.volume.volume import Volume

CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, slots=True)
class _Series:
    """What all instances of the series share."""

    volume: Volume
    source: SourceImages
    first_header: Dataset
    derivation: Derivation
    algorithm: Algorithm
    uid_parts: tuple[str, ...]
    effective_time: datetime
    sop_class_uid: str
    scale: StoredScale
    extremes: tuple[float, float]


def derived_series_uid(uid_parts: Sequence[str]) -> str:
    """The SeriesInstanceUID that `derived_series` gives."""
    return derived_uid(*uid_parts, "series")


def derived_series(
    volume: Volume,
    source_headers: Sequence[Dataset],
    *,
    derivation: Derivation,
    algorithm: Algorithm,
    uid_parts: Sequence[str],
    effective_time: datetime,
) -> Iterator[Dataset]:
    """One image for each slice, in the order of the volume; `part10_bytes` makes files of them.

    CT sources give CT images, MR sources MR images, all others (and enhanced MR, whose acquisition a classic MR image
    cannot tell) Secondary Capture images with place and scale. Patient, study and frame of reference are the source's.
    The stored values are 16-bit: exact for whole numbers, else within half a step of the slope. UIDs follow from
    `uid_parts`, dates from `effective_time`, so that the same call gives the same bytes. All work is done when an image
    is asked for, so that a caller may ask in a thread.

    Parameters
    ----------
    volume
        The processed voxels.
    source_headers
        The header of each source instance (pixel data is not needed); the first one tells patient and study.
    uid_parts
        What makes this series this one: input manifest, algorithm, version, parameters.
    effective_time
        The request's time, with a time zone.

    Raises
    ------
    InvalidArgument
        Without source headers, for voxels that are not finite, or for a time without zone.
    VolumeRefused
        If a source header has no place in the patient.
    """
    if not source_headers:
        raise InvalidArgument(
            "A derived series needs the headers of its source", where="source_headers", hint="Give one an instance."
        )
    da_value(effective_time)
    series = _Series(
        volume=volume,
        source=SourceImages.of(source_headers, volume),
        first_header=source_headers[0],
        derivation=derivation,
        algorithm=algorithm,
        uid_parts=tuple(uid_parts),
        effective_time=effective_time,
        sop_class_uid=_sop_class(volume, source_headers[0]),
        scale=stored_scale(volume.voxels),
        extremes=_extremes(volume),
    )
    for index in range(volume.voxels.shape[0]):
        yield _instance(series, index)


def _sop_class(volume: Volume, source: Dataset) -> str:
    if volume.modality == "CT":
        return CT_IMAGE_STORAGE
    if volume.modality == "MR" and source.get("ScanningSequence") and source.get("SequenceVariant"):
        return MR_IMAGE_STORAGE
    return SECONDARY_CAPTURE_IMAGE_STORAGE


def _instance(series: _Series, index: int) -> Dataset:
    told = series.volume.sources
    sources = list(told[index]) if told else series.source.of_slice(series.volume, index)
    first, nearest = series.first_header, series.source.header_of(series.volume.frames[index])
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    carry_over(first, dataset, (*PATIENT_AND_STUDY, *SERIES))
    carry_over(nearest, dataset, ACQUISITION)
    _describe(dataset, series, first, index)
    dataset.SourceImageSequence = series.source.sequence(sources)
    _place(dataset, series.volume, index)
    _pixels(dataset, series, nearest, index)
    if series.sop_class_uid == CT_IMAGE_STORAGE:
        carry_over(nearest, dataset, CT_ACQUISITION)
        _fill(dataset, series.volume, ("KVP", "ConvolutionKernel"))
        add_empty(dataset, ("KVP", "AcquisitionNumber"))
    elif series.sop_class_uid == MR_IMAGE_STORAGE:
        carry_over(nearest, dataset, MR_ACQUISITION)
        add_empty(dataset, ("ScanOptions", "MRAcquisitionType", "EchoTime", "RepetitionTime", "EchoTrainLength"))
    else:
        dataset.ConversionType = "WSD"
        dataset.PatientOrientation = [direction_letters(axis) for axis in series.volume.direction[:0:-1]]
    return dataset


def _describe(dataset: Dataset, series: _Series, source: Dataset, index: int) -> None:
    zone = offset_zone(source.get("TimezoneOffsetFromUTC"))
    date, time = da_value(series.effective_time, zone), tm_value(series.effective_time, zone)
    for name in ("InstanceCreation", "Series", "Content"):
        setattr(dataset, f"{name}Date", date)
        setattr(dataset, f"{name}Time", time)
    dataset.SOPClassUID = series.sop_class_uid
    dataset.SOPInstanceUID = derived_uid(*series.uid_parts, "instance", str(index))
    dataset.SeriesInstanceUID = derived_series_uid(series.uid_parts)
    dataset.SeriesNumber = _series_number(source)
    dataset.InstanceNumber = index + 1
    told = str(source.get("SeriesDescription") or source.get("Modality") or "").strip()
    suffix = series.derivation.series_suffix
    dataset.SeriesDescription = f"{told[: 63 - len(suffix)]} {suffix}".strip()
    dataset.Modality = series.volume.modality or "OT"
    dataset.ImageType = _image_type(source, series.derivation)
    dataset.DerivationDescription = f"{series.derivation.description} ({series.algorithm.text})"[:1024]
    if series.derivation.codes:
        dataset.DerivationCodeSequence = [coded(code) for code in series.derivation.codes]
    _fill(dataset, series.volume, ("BodyPartExamined",))
    if not dataset.get("FrameOfReferenceUID"):
        dataset.FrameOfReferenceUID = derived_uid(*series.uid_parts, "frame of reference")
    add_empty(
        dataset,
        (
            *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
            *("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"),
        ),
    )
    if not any(keyword in dataset for keyword in ("BodyPartExamined", "AnatomicRegionSequence", "ImageLaterality")):
        # Type 2C: without a body part nobody can say that it is not a paired one.
        add_empty(dataset, ("Laterality",))
    if "PatientPosition" not in dataset and series.sop_class_uid != SECONDARY_CAPTURE_IMAGE_STORAGE:
        dataset.PatientPosition = None
    set_equipment(dataset)
    dataset.ContributingEquipmentSequence = [
        *copy.deepcopy(list(source.get("ContributingEquipmentSequence") or ())),
        *_acquisition_equipment(source),
        contribution(series.effective_time, f"{series.derivation.description} ({series.algorithm.text})"),
    ]


def _acquisition_equipment(source: Dataset) -> list[Dataset]:
    """The source's own equipment as one item, since the derived image's equipment is this product."""
    if not source.get("Manufacturer"):
        return []
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded(codes.DCM.AcquisitionEquipment)]
    carry_over(
        source,
        item,
        ("Manufacturer", "InstitutionName", "StationName", "ManufacturerModelName", "DeviceSerialNumber"),
    )
    carry_over(source, item, ("SoftwareVersions",))
    return [item]


def _series_number(source: Dataset) -> int:
    """The source's number + 1000: sorted behind everything that was acquired, and easy to trace back."""
    try:
        number = int(source.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    return 1000 + number if 0 <= number < 1_000_000 else 1000


def _image_type(source: Dataset, derivation: Derivation) -> list[str]:
    told = source.get("ImageType") or []
    values = [told] if isinstance(told, str) else [str(value) for value in told]
    # Made after the examination, hence SECONDARY (PS3.3 C.7.6.1.1.2); the third value, such as AXIAL, stays.
    third = values[2] if len(values) > 2 and values[2] else ("AXIAL" if source.get("Modality") == "CT" else "OTHER")
    return ["DERIVED", "SECONDARY", third, derivation.image_type]


def _place(dataset: Dataset, volume: Volume, index: int) -> None:
    slice_mm, row_mm, column_mm = volume.spacing_mm
    corner = volume.to_patient_mm(np.array([[index, 0.0, 0.0]]))[0]
    dataset.ImagePositionPatient = [ds_text(round(float(value), 9)) for value in corner]
    dataset.ImageOrientationPatient = [ds_text(float(value)) for value in (*volume.direction[2], *volume.direction[1])]
    dataset.PixelSpacing = [ds_text(row_mm), ds_text(column_mm)]
    dataset.SpacingBetweenSlices = ds_text(slice_mm)
    thickness = volume.slice_thickness_mm
    dataset.SliceThickness = None if thickness is None else ds_text(thickness)


def _pixels(dataset: Dataset, series: _Series, source: Dataset, index: int) -> None:
    volume, scale = series.volume, series.scale
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = volume.voxels.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    if series.sop_class_uid != MR_IMAGE_STORAGE or not scale.is_identity:
        dataset.RescaleIntercept = scale.intercept_text
        dataset.RescaleSlope = scale.slope_text
        dataset.RescaleType = "HU" if volume.units == HOUNSFIELD else "US"
    padding = volume.attributes.get("PixelPaddingValue")
    if padding is not None:
        stored = round((float(padding) - scale.intercept) / scale.slope)
        if -32768 <= stored <= 32767:
            dataset.PixelPaddingValue = stored
    _window(dataset, series, source)
    dataset.PixelData = scale.stored(volume.voxels[index]).tobytes()


def _window(dataset: Dataset, series: _Series, source: Dataset) -> None:
    """The source's windows where the values still have its scale, else one over all values."""
    if series.derivation.keeps_values and source.get("WindowCenter") and source.get("WindowWidth"):
        carry_over(source, dataset, ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"))
        return
    low, high = series.extremes
    if series.scale.slope == 1:
        dataset.WindowCenter = ds_text((low + high + 1) / 2)
        dataset.WindowWidth = ds_text(high - low + 1)
    else:  # The linear function counts whole numbers, and is not defined for widths below 1 (PS3.3 C.11.2.1.2.1).
        dataset.WindowCenter = ds_text((low + high) / 2)
        dataset.WindowWidth = ds_text(high - low)
        dataset.VOILUTFunction = "LINEAR_EXACT"


def _extremes(volume: Volume) -> tuple[float, float]:
    """The smallest and the largest value, padding left out."""
    padding = is_padding(volume.voxels, padding_value(volume))
    inside = volume.voxels if padding is None or padding.all() else volume.voxels[~padding]
    return float(inside.min()), float(inside.max())


def _fill(dataset: Dataset, volume: Volume, keywords: Sequence[str]) -> None:
    """Facts that enhanced images keep in functional groups, from where the volume has them."""
    for keyword in keywords:
        if not dataset.get(keyword) and volume.attributes.get(keyword):
            setattr(dataset, keyword, volume.attributes[keyword].split("\\"))
