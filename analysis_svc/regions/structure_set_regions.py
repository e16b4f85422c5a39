"""The contours of an RT Structure Set as regions of a volume (PS3.3 A.19, C.8.8.6)."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from skimage.draw import polygon2mask

from analysis_svc.measurement import Refusal
from analysis_svc.regions.grid_match import SLICE_TOLERANCE, slice_at, volume_index
from analysis_svc.regions.region import Region, region_of_planes
from imaging.dicom.header_value import first_number, items, numbers, text
from imaging.errors import VolumeRefused
from imaging.volume.volume import Volume

SOP_CLASS: Final = "1.2.840.10008.5.1.4.1.1.481.3"
_CLOSED: Final = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_MARGIN_PIXELS: Final = 1.0


def structure_set_regions(header: Dataset, volume: Volume) -> tuple[list[Region], list[Refusal]]:
    """The regions of interest as voxels whose centres are inside, and those that cannot be measured.

    Contours of one slice are combined by exclusive or, so that a contour in a contour is a hole (PS3.3 C.8.8.6.3).

    Parameters
    ----------
    header
        Of the structure set.
    volume
        That is measured.
    """
    names = {
        int(first_number(item, "ROINumber") or 0): text(item, "ROIName")
        for item in items(header, "StructureSetROISequence")
    }
    found, refusals = [], []
    for item in items(header, "ROIContourSequence"):
        number = int(first_number(item, "ReferencedROINumber") or 0)
        try:
            placed = region_of_planes(list(_planes(items(item, "ContourSequence"), volume).items()))
        except VolumeRefused as error:
            subject = f"ROI {number} of structure set {text(header, 'SOPInstanceUID')}"
            refusals.append(Refusal(subject, error.metadata["rule"], error.what, error.hint))
            continue
        if placed is not None:
            found.append(Region(names.get(number, "")[:64] or f"ROI {number}", *placed))
    return found, refusals


def _planes(contours: list[Dataset], volume: Volume) -> dict[int, NDArray[np.bool_]]:
    """Masks by index of slice."""
    planes: dict[int, NDArray[np.bool_]] = {}
    shape = volume.voxels.shape[1:]
    for contour in contours:
        index, outline = _outline(contour, volume)
        # Only the part round the contour: a tumour is a small part of the slice.
        low = np.maximum(np.floor(outline.min(axis=0)), 0).astype(int)
        high = np.minimum(np.ceil(outline.max(axis=0)) + 1, shape).astype(int)
        inside = polygon2mask(high - low, outline - low)  # type: ignore[no-untyped-call] # untyped library
        plane = planes.setdefault(index, np.zeros(shape, dtype=np.bool_))
        plane[low[0] : high[0], low[1] : high[1]] ^= inside
    _require_every_slice(sorted(planes))
    return planes


def _outline(contour: Dataset, volume: Volume) -> tuple[int, NDArray[np.float64]]:
    """Index of the slice and the points as (row, column)."""
    kind = text(contour, "ContourGeometricType").upper()
    if kind not in _CLOSED:
        raise _refused("NO_CLOSED_CONTOUR", f"It has contours of the kind {kind or 'unknown'}, which enclose nothing")
    data = numbers(contour, "ContourData")
    if data is None or len(data) % 3 or len(data) < 9:
        raise _refused("INVALID_CONTOUR", "A contour is not made of three or more points of three numbers")
    index = volume_index(volume, np.asarray(data, dtype=np.float64).reshape(-1, 3))
    if float(np.ptp(index[:, 0])) > SLICE_TOLERANCE:
        raise _refused("OFF_SLICE", "A contour is not parallel to the images")
    outline = index[:, 1:]
    size = np.asarray(volume.voxels.shape[1:])
    if (outline < -0.5 - _MARGIN_PIXELS).any() or (outline > size - 0.5 + _MARGIN_PIXELS).any():
        raise _refused("OUTSIDE_VOLUME", "A contour leaves the images")
    return slice_at(volume, float(index[:, 0].mean())), outline


def _require_every_slice(places: list[int]) -> None:
    """Pass unless contours were drawn on every second slice or so: what is between them would be missing."""
    if len(places) < 3:
        return
    step, _ = Counter(np.diff(places).tolist()).most_common(1)[0]
    if step > 1:
        raise _refused("SLICES_LEFT_OUT", f"It has a contour on each {step}th slice only")


def _refused(rule: str, what: str) -> VolumeRefused:
    return VolumeRefused(
        what, hint="Draw closed contours on every image of the series that is measured.", metadata={"rule": rule}
    )
