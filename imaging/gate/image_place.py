"""Do the pixels of an object lie where they came from? Read back from the written object, against the source."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from imaging.dicom.header_value import first_item, first_number, items, numbers, text, values
from imaging.volume.frame_headers import frame_headers
from imaging.volume.volume import Volume

POSITION_TOLERANCE_MM: Final = 1e-3
"""A decimal string has 16 characters (PS3.5 6.2): much less is lost."""

COSINE_TOLERANCE: Final = 1e-5
SPACING_TOLERANCE: Final = 1e-5
"""Of the spacing."""

_PLACE: Final = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)

_Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plane:
    """Where the pixels of a frame are, in the words of the Image Plane module (PS3.3 C.7.6.2)."""

    position_mm: _Vector
    orientation: _Vector
    spacing_mm: _Vector


@dataclass(frozen=True, slots=True)
class ExpectedPlaces:
    """Where the frames of an object have to lie."""

    shape: tuple[int, int]
    """Rows and columns."""

    planes: tuple[Plane, ...]
    """Each frame lies on one of these."""

    sources: dict[tuple[str, int], Plane]
    """Those of the source by SOP Instance UID and frame number: a frame that names one lies on it. Empty where the
    frames have a grid of their own."""

    frame_of_reference_uid: str
    """That of the source; empty where it has none."""

    within: Volume | None = None
    """The source, where the frames have a grid of their own: they lie in a box around it along their own axes."""


def places_of_source(headers: Iterable[Dataset]) -> ExpectedPlaces:
    """Those of the frames of source images: for what is drawn on them pixel for pixel."""
    found = [header for dataset in headers for header in frame_headers(dataset)]
    sources = {
        (header.sop_instance_uid, header.frame_number): Plane(
            np.asarray(header.position_mm), np.asarray(header.orientation), np.asarray(header.pixel_spacing_mm)
        )
        for header in found
    }
    return ExpectedPlaces(
        (found[0].rows, found[0].columns), tuple(sources.values()), sources, found[0].frame_of_reference_uid
    )


def place_of_slice(volume: Volume, index: int, source: Volume) -> ExpectedPlaces:
    """That of a slice of a volume that was made of another one."""
    rows, columns = volume.voxels.shape[1:]
    plane = Plane(
        volume.to_patient_mm(np.array([[index, 0.0, 0.0]]))[0],
        volume.direction[[2, 1]].ravel(),
        np.asarray(volume.spacing_mm[1:]),
    )
    return ExpectedPlaces((rows, columns), (plane,), {}, source.frame_of_reference_uid, source)


def check_places(dataset: Dataset, expected: ExpectedPlaces) -> tuple[int, float, list[str]]:
    """How many frames there are, the largest deviation in millimetres, and what is wrong, in sentences.

    Compared are position, orientation, spacing, size and frame of reference.

    Parameters
    ----------
    dataset
        With the Image Plane module (PS3.3 C.7.6.2) or functional groups (PS3.3 C.7.6.16).
    """
    faults: list[str] = []
    frame_of_reference_uid = text(dataset, "FrameOfReferenceUID")
    if not frame_of_reference_uid or expected.frame_of_reference_uid not in ("", frame_of_reference_uid):
        faults.append("FrameOfReferenceUID is not that of the source")
    rows, columns = int(first_number(dataset, "Rows") or 0), int(first_number(dataset, "Columns") or 0)
    if (rows, columns) != expected.shape:
        faults.append(f"its frames have {rows} x {columns} pixels, not {expected.shape[0]} x {expected.shape[1]}")
    count, largest = 0, 0.0
    for count, (found, named) in enumerate(_frames(dataset), start=1):
        if found is None:
            faults.append(f"frame {count} tells no place")
            continue
        if expected.sources and not expected.sources.keys() >= set(named):
            faults.append(f"frame {count} names a source that is none of the images")
            continue
        planes = [expected.sources[name] for name in named if name in expected.sources] or expected.planes
        nearest = min(planes, key=lambda plane: float(np.linalg.norm(plane.position_mm - found.position_mm)))
        deviation = float(np.linalg.norm(nearest.position_mm - found.position_mm))
        largest = max(largest, deviation)
        if deviation > POSITION_TOLERANCE_MM:
            faults.append(f"frame {count} lies {deviation:.3f} mm away from its place")
        if np.abs(found.orientation - nearest.orientation).max() > COSINE_TOLERANCE:
            faults.append(f"frame {count} has another orientation")
        if not np.allclose(found.spacing_mm, nearest.spacing_mm, rtol=SPACING_TOLERANCE, atol=0):
            faults.append(f"the pixels of frame {count} have another spacing")
        if expected.within is not None and not _is_within(found, expected.shape, expected.within):
            faults.append(f"frame {count} lies outside the images that it was made of")
    return count, largest, faults


def moved_attributes(copy: Dataset, source: Dataset) -> tuple[int, list[str]]:
    """How many frames a copy has, and the attributes of place that are not those of its source."""
    faults = [f"{name} is not that of the source" for name in _PLACE if not _is_same(copy, source, name)]
    return int(first_number(copy, "NumberOfFrames") or 1), faults


def _raw(dataset: Dataset, name: str) -> tuple[str | None, bytes | None] | None:
    """VR and bytes of a value that nobody has read yet."""
    element = dataset.get_item(name) if name in dataset else None
    return (element.VR, element.value) if isinstance(element, RawDataElement) else None


def _is_same(copy: Dataset, source: Dataset, name: str) -> bool:
    """True for equal values; the bytes of values that nobody has read need not be read for it."""
    found, expected = _raw(copy, name), _raw(source, name)
    if found is not None and found == expected:
        return True
    return values(copy, name) == values(source, name)


def _frames(dataset: Dataset) -> Iterator[tuple[Plane | None, list[tuple[str, int]]]]:
    """Place of each frame, and the source frames that it names by DerivationImageSequence (PS3.3 C.7.6.16.2.6)."""
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    if not per_frame:
        yield _plane(dataset, dataset, dataset), []
        return
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    groups = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    for frame in per_frame:
        yield (
            _plane(*(first_item(frame, name) or first_item(shared, name) for name in groups)),
            [
                (text(image, "ReferencedSOPInstanceUID"), int(number))
                for derivation in items(frame, "DerivationImageSequence")
                for image in items(derivation, "SourceImageSequence")
                for number in numbers(image, "ReferencedFrameNumber") or (1,)
            ],
        )


def _plane(position: Dataset | None, orientation: Dataset | None, measures: Dataset | None) -> Plane | None:
    found = [
        numbers(position, "ImagePositionPatient") or (),
        numbers(orientation, "ImageOrientationPatient") or (),
        numbers(measures, "PixelSpacing") or (),
    ]
    if [len(each) for each in found] != [3, 6, 2]:
        return None
    return Plane(*(np.asarray(each, dtype=np.float64) for each in found))


def _is_within(plane: Plane, shape: tuple[int, int], source: Volume) -> bool:
    """True if the pixel centres of a frame lie in the smallest box along its axes that holds a volume, edges included.

    Of a frame that is parallel to the volume, that is the volume; the corners of another one may stick out of it.
    """
    row, column = plane.orientation.reshape(2, 3)
    axes = np.stack([np.cross(row, column), column, row])
    edges = np.array(list(itertools.product(*((-0.5, count - 0.5) for count in source.voxels.shape))))
    around = source.to_patient_mm(edges) @ axes.T
    first = axes @ plane.position_mm
    last = first + np.array([0.0, *((np.array(shape) - 1) * plane.spacing_mm)])
    slack = POSITION_TOLERANCE_MM
    return bool((first >= around.min(axis=0) - slack).all() and (last <= around.max(axis=0) + slack).all())
