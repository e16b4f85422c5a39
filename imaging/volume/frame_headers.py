"""Frame headers out of a data set: single-frame, enhanced multi-frame, and grids of dose or of nuclear medicine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from imaging.dicom.header_value import first_item, first_number, items, text
from imaging.dicom.padding_value import stored_padding
from imaging.volume.frame_header import FrameHeader
from imaging.volume.header_values import refused, required_numbers
from imaging.volume.image_kind import refuse_other_kinds
from imaging.volume.rescale import is_rescaled, read_rescale
from imaging.volume.value_units import value_units

MAX_FRAMES: Final = 100_000
"""More slices than any volume has; a number that is only claimed must not make work."""

MAX_EXTENT_MM: Final = 5000.0
"""No scanner has so large a field of view."""

_ATTRIBUTES = (
    "ConvolutionKernel",
    "BodyPartExamined",
    "ImageType",
    "ContrastBolusAgent",
    "KVP",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
    "ScanningSequence",
)
_ATTRIBUTE_GROUPS = ("CTReconstructionSequence", "CTXRayDetailsSequence", "FrameAnatomySequence")
"""Functional groups (PS3.3 C.8.15.3) in which enhanced images keep the kernel and the tube voltage."""

_DIMENSIONS = (
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "DiffusionBValue",
    "EchoTime",
    "EchoNumbers",
    "TriggerTime",
    "AcquisitionTime",
    "ImageType",
)
_DIMENSION_GROUPS = (
    ("FrameContentSequence", "StackID"),
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("MRDiffusionSequence", "DiffusionBValue"),
    ("MREchoSequence", "EffectiveEchoTime"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("MRImageFrameTypeSequence", "FrameType"),
    ("CTImageFrameTypeSequence", "FrameType"),
    ("SegmentIdentificationSequence", "ReferencedSegmentNumber"),
)


def frame_headers(dataset: Dataset) -> list[FrameHeader]:
    """The header of each frame of an instance, in the order of the frames; pixel data is not needed.

    Understood are single-frame images with the Image Plane module (PS3.3 C.7.6.2), multi-frame images with functional
    groups (PS3.3 C.7.6.16), RT Dose with GridFrameOffsetVector (PS3.3 C.8.8.3.2) and reconstructed NM with
    SpacingBetweenSlices (PS3.3 C.8.4.15).

    Raises
    ------
    VolumeRefused
        `metadata["rule"]` is `missing_geometry` or `invalid_geometry` (with the attribute), `invalid_rescale`,
        `colour`, `mosaic`, `localizer` (of CT), `modality_lut` (a table instead of slope and intercept).
    """
    where = f"instance {text(dataset, 'SOPInstanceUID') or 'without UID'}"
    refuse_other_kinds(dataset, where)
    count = first_number(dataset, "NumberOfFrames")
    number_of_frames = 1 if count is None else int(count)
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    if not 1 <= number_of_frames <= MAX_FRAMES or (per_frame and len(per_frame) != number_of_frames):
        raise refused(
            "invalid_geometry",
            f"NumberOfFrames is {number_of_frames}"
            + (f", but {len(per_frame)} frames are described" if per_frame else f", not 1 to {MAX_FRAMES}"),
            where=f"{where}, (0028,0008)",
            hint="Correct the sender.",
            attribute="NumberOfFrames",
        )
    if per_frame:
        return _enhanced(dataset, per_frame, where)
    if "GridFrameOffsetVector" in dataset:
        return _grid(dataset, _grid_offsets(dataset, number_of_frames, where), where)
    if number_of_frames > 1 and text(dataset, "Modality") == "NM":
        (spacing,) = required_numbers(dataset, "SpacingBetweenSlices", 1, where)
        plane = first_item(dataset, "DetectorInformationSequence") or dataset
        return _grid(dataset, [spacing * index for index in range(number_of_frames)], where, plane)
    if number_of_frames > 1:
        raise refused(
            "missing_geometry",
            f"{number_of_frames} frames have no positions of their own",
            where=where,
            hint="A cine or a multi-frame image without functional groups is no volume.",
            attribute="PerFrameFunctionalGroupsSequence",
        )
    return [_header(dataset, dataset, dataset, dataset, [dataset], 1, where)]


def _enhanced(dataset: Dataset, per_frame: Sequence[Dataset], where: str) -> list[FrameHeader]:
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")

    def group(frame: Dataset, keyword: str) -> Dataset | None:
        return first_item(frame, keyword) or first_item(shared, keyword)

    headers = []
    for frame_number, frame in enumerate(per_frame, start=1):
        groups = [item for keyword, _ in _DIMENSION_GROUPS if (item := group(frame, keyword)) is not None]
        groups += [item for keyword in _ATTRIBUTE_GROUPS if (item := group(frame, keyword)) is not None]
        headers.append(
            _header(
                dataset,
                _merged(group(frame, "PlanePositionSequence"), group(frame, "PlaneOrientationSequence")),
                group(frame, "PixelMeasuresSequence") or Dataset(),
                group(frame, "PixelValueTransformationSequence") or Dataset(),
                [*groups, dataset],
                frame_number,
                f"{where} frame {frame_number}",
            )
        )
    return headers


def _grid(dataset: Dataset, offsets_mm: Sequence[float], where: str, plane: Dataset | None = None) -> list[FrameHeader]:
    """Frames at given distances from the first along the normal, which is the product of row and column."""
    first = _header(dataset, plane or dataset, dataset, dataset, [dataset], 1, where)
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(row, column)
    origin = np.array(first.position_mm)
    headers = []
    for frame_number, offset in enumerate(offsets_mm, start=1):
        x, y, z = origin + offset * normal
        position = (float(x), float(y), float(z))
        headers.append(replace(first, frame_number=frame_number, position_mm=position))
    return headers


def _grid_offsets(dataset: Dataset, number_of_frames: int, where: str) -> list[float]:
    """Distances of the dose planes from the first one (PS3.3 C.8.8.3.2): relative, or as absolute z coordinates."""
    offsets = required_numbers(dataset, "GridFrameOffsetVector", number_of_frames, where)
    if offsets[0] == 0:
        return list(offsets)
    (*_, z) = required_numbers(dataset, "ImagePositionPatient", 3, where)
    if abs(offsets[0] - z) > 1e-3:
        raise refused(
            "invalid_geometry",
            "GridFrameOffsetVector starts neither at 0 nor at the z of ImagePositionPatient",
            where=f"{where}, (3004,000C)",
            hint="Correct the sender (PS3.3 C.8.8.3.2).",
            attribute="GridFrameOffsetVector",
        )
    return [offset - offsets[0] for offset in offsets]


def _header(
    dataset: Dataset,
    plane: Dataset,
    measures: Dataset,
    scale: Dataset,
    groups: Sequence[Dataset],
    frame_number: int,
    where: str,
) -> FrameHeader:
    x, y, z = required_numbers(plane, "ImagePositionPatient", 3, where)
    a, b, c, d, e, f = required_numbers(plane, "ImageOrientationPatient", 6, where)
    row_mm, column_mm = required_numbers(measures, "PixelSpacing", 2, where)
    (rows,), (columns,) = (required_numbers(dataset, name, 1, where) for name in ("Rows", "Columns"))
    if min(row_mm, column_mm, rows, columns) <= 0:
        raise refused(
            "invalid_geometry",
            "PixelSpacing, Rows and Columns must be greater than zero",
            where=f"{where}, (0028,0030)",
            hint="Correct the sender.",
            attribute="PixelSpacing",
        )
    if max(row_mm * rows, column_mm * columns) > MAX_EXTENT_MM:
        raise refused(
            "invalid_geometry",
            f"By its PixelSpacing the image is {max(row_mm * rows, column_mm * columns) / 1000:.3g} m large",
            where=f"{where}, (0028,0030)",
            hint="PixelSpacing is in millimetres: correct the sender.",
            attribute="PixelSpacing",
        )
    slope, intercept, rescale_type = read_rescale(dataset, scale, where)
    bits = int(first_number(dataset, "BitsAllocated") or 16)  # without bits there are no pixels either
    padding = stored_padding(dataset, max(1, bits), signed=first_number(dataset, "PixelRepresentation") == 1)
    modality = text(dataset, "Modality")
    return FrameHeader(
        sop_class_uid=text(dataset, "SOPClassUID"),
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        frame_number=frame_number,
        rows=int(rows),
        columns=int(columns),
        position_mm=(x, y, z),
        orientation=(a, b, c, d, e, f),
        pixel_spacing_mm=(row_mm, column_mm),
        slice_thickness_mm=_positive(measures, "SliceThickness"),
        spacing_between_slices_mm=_positive(measures, "SpacingBetweenSlices"),
        rescale_slope=slope,
        rescale_intercept=intercept,
        rescale_type=rescale_type,
        units=value_units(
            modality,
            rescale_type,
            text(dataset, "Units"),
            text(dataset, "DoseUnits"),
            is_rescaled=is_rescaled(scale),
        ),
        padding_value=None if padding is None else padding[0] * slope + intercept,
        padding_limit=None if padding is None else padding[1] * slope + intercept,
        frame_of_reference_uid=text(dataset, "FrameOfReferenceUID"),
        study_instance_uid=text(dataset, "StudyInstanceUID"),
        series_instance_uid=text(dataset, "SeriesInstanceUID"),
        modality=modality,
        attributes={name: value for name in _ATTRIBUTES if (value := _first_text(groups, name))},
        dimensions=_dimensions(dataset, groups),
    )


def _dimensions(dataset: Dataset, groups: Sequence[Dataset]) -> dict[str, str]:
    found = {name: value for name in _DIMENSIONS if (value := text(dataset, name))}
    for _, name in _DIMENSION_GROUPS:
        if value := _first_text(groups, name):
            found[name] = value
    return found


def _first_text(groups: Sequence[Dataset], keyword: str) -> str:
    return next((value for group in groups if (value := text(group, keyword))), "")


def _positive(dataset: Dataset, keyword: str) -> float | None:
    number = first_number(dataset, keyword)
    return number if number is not None and number > 0 else None


def _merged(*groups: Dataset | None) -> Dataset:
    merged = Dataset()
    for group in groups:
        if group is not None:
            merged.update(group)
    return merged
