"""Do these frames make a volume, and where does it lie? Positions decide, never instance numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imaging.errors import VolumeRefused
from imaging.volume.frame_header import FrameHeader
from imaging.volume.header_values import refused
from imaging.volume.slice_steps import check_steps

TILT_DEGREES: Final = 0.5
"""A stack may lean this much from its normal: 0.9 mm in 100 mm. A gantry is tilted by more, or not at all."""

SHIFT_PIXELS: Final = 0.25
"""A lean or a sideways step under this part of a pixel is the rounding of positions."""

COSINE_TOLERANCE: Final = 2e-3
"""Direction cosines of two frames may differ by this, about 0.1 degree."""

ORTHOGONAL_TOLERANCE: Final = 1e-2
"""Length of a direction from 1, and row times column from 0."""

PIXEL_SPACING_TOLERANCE: Final = 1e-3
"""Relative; 0.5 mm in 500 mm."""


@dataclass(frozen=True, slots=True)
class VolumeGeometry:
    """Where the volume lies, and which frame is which slice of it."""

    order: tuple[int, ...]
    """Indices into the headers that were given, in the order of the slices."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: NDArray[np.float64]
    """See `Volume.direction`."""


def volume_geometry(headers: Sequence[FrameHeader], *, min_slices: int = 2) -> VolumeGeometry:
    """The geometry of the volume that the frames make, sorted along the normal (row times column).

    Refused, with `metadata["rule"]`: `too_few_slices`; `mixed_series`, `mixed_size`, `mixed_spacing`,
    `mixed_frame_of_reference`, `mixed_rescale_type`, `mixed_orientation`; `invalid_geometry` (directions that are not
    of length 1 or not at right angles); `duplicate_position`; `gap`; `uneven_spacing`; `tilt`; `in_plane_shift`;
    `missing_geometry` (a single slice without thickness). The limits stand at the top of this module
    and of `slice_steps`.

    Parameters
    ----------
    headers
        In any order.
    min_slices
        1 lets a single slice pass, whose depth is then SpacingBetweenSlices or SliceThickness.

    Raises
    ------
    VolumeRefused
        With the reason, the UIDs of the frames concerned, and what to do.
    """
    if len(headers) < max(1, min_slices):
        raise refused(
            "too_few_slices",
            f"{len(headers)} slices are fewer than the {max(1, min_slices)} that a volume needs here",
            where=f"series {headers[0].series_instance_uid}" if headers else "series",
            hint="Send the whole series.",
            slices=len(headers),
        )
    _check_alike(headers)
    direction = _direction(headers)
    positions = np.array([header.position_mm for header in headers], dtype=np.float64)
    along = positions @ direction[0]
    order = np.argsort(along, kind="stable")
    ordered = [headers[index] for index in order]
    row_mm, column_mm = headers[0].pixel_spacing_mm
    if len(ordered) == 1:
        spacing = _depth_of_single_slice(ordered[0])
    else:
        check_steps(ordered, along[order])
        _check_lean(ordered, positions[order], direction, min(row_mm, column_mm))
        # Rounded to a picometre, so that the arithmetic of the projection does not show in the figures.
        spacing = round(float(along[order[-1]] - along[order[0]]) / (len(ordered) - 1), 9)
    return VolumeGeometry(
        order=tuple(int(index) for index in order),
        shape=(len(headers), headers[0].rows, headers[0].columns),
        spacing_mm=(spacing, row_mm, column_mm),
        origin_mm=ordered[0].position_mm,
        direction=direction,
    )


def _check_alike(headers: Sequence[FrameHeader]) -> None:
    _same(headers, lambda header: header.series_instance_uid, "mixed_series", "come from more than one series")
    _same(headers, lambda header: (header.rows, header.columns), "mixed_size", "have different rows or columns")
    _same(
        headers,
        lambda header: header.frame_of_reference_uid,
        "mixed_frame_of_reference",
        "have different frames of reference (the patient may have moved between them)",
    )
    _same(headers, lambda header: header.rescale_type, "mixed_rescale_type", "have different rescale types")
    _same(headers, lambda header: header.units, "mixed_rescale_type", "have values of different units")
    first = headers[0]
    for header in headers:
        if not np.allclose(header.pixel_spacing_mm, first.pixel_spacing_mm, rtol=PIXEL_SPACING_TOLERANCE, atol=0):
            raise _mixed("mixed_spacing", "have different pixel spacing", first, header)
        if np.abs(np.subtract(header.orientation, first.orientation)).max() > COSINE_TOLERANCE:
            raise _mixed("mixed_orientation", "have different orientations, such as a localizer has", first, header)


def _same(headers: Sequence[FrameHeader], value: Callable[[FrameHeader], object], rule: str, what: str) -> None:
    first = headers[0]
    for header in headers:
        if value(header) != value(first):
            raise _mixed(rule, what, first, header)


def _mixed(rule: str, what: str, first: FrameHeader, other: FrameHeader) -> VolumeRefused:
    return refused(
        rule,
        f"The slices {what}",
        where=f"{first.label} and {other.label}",
        hint="Choose the slices that belong together, such as one orientation or one acquisition.",
        first_sop_instance_uid=first.sop_instance_uid,
        second_sop_instance_uid=other.sop_instance_uid,
    )


def _direction(headers: Sequence[FrameHeader]) -> NDArray[np.float64]:
    row, column = np.array(headers[0].orientation[:3]), np.array(headers[0].orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > ORTHOGONAL_TOLERANCE or abs(row @ column) > ORTHOGONAL_TOLERANCE:
        raise refused(
            "invalid_geometry",
            "ImageOrientationPatient does not hold two unit vectors at right angles",
            where=f"{headers[0].label}, (0020,0037)",
            hint="Correct the sender.",
            attribute="ImageOrientationPatient",
        )
    row /= lengths[0]
    column = column - (column @ row) * row
    column /= np.linalg.norm(column)
    # Rows of the matrix follow the axes of the array: slices, then rows (which follow each other along the column
    # direction), then columns.
    return np.stack([np.cross(row, column), column, row])


def _check_lean(
    ordered: Sequence[FrameHeader], positions: NDArray[np.float64], direction: NDArray[np.float64], pixel_mm: float
) -> None:
    """Tilt is found in the positions: GantryDetectorTilt (0018,1120) is often absent from tilted series."""
    moved = positions - positions[0]
    along = moved @ direction[0]
    sideways = moved - np.outer(along, direction[0])
    drift = float(np.linalg.norm(sideways[-1]))
    degrees = math.degrees(math.atan2(drift, float(along[-1])))
    if degrees > TILT_DEGREES and drift > SHIFT_PIXELS * pixel_mm:
        raise refused(
            "tilt",
            f"The stack leans by {degrees:.1f} degrees from its normal, as by a tilted gantry",
            where=f"{ordered[0].label} to {ordered[-1].label}",
            hint="Measures in a sheared volume are false: send a series without tilt, or one that was corrected.",
            degrees=f"{degrees:.3f}",
        )
    shifts = np.linalg.norm(np.diff(sideways, axis=0), axis=1)
    worst = int(shifts.argmax())
    if shifts[worst] > max(
        SHIFT_PIXELS * pixel_mm, math.tan(math.radians(TILT_DEGREES)) * float(np.diff(along)[worst])
    ):
        raise refused(
            "in_plane_shift",
            f"Between two slices the image jumps {shifts[worst]:.2f} mm sideways",
            where=f"{ordered[worst].label} and {ordered[worst + 1].label}",
            hint="Send slices of one field of view.",
            first_sop_instance_uid=ordered[worst].sop_instance_uid,
            second_sop_instance_uid=ordered[worst + 1].sop_instance_uid,
        )


def _depth_of_single_slice(header: FrameHeader) -> float:
    depth = header.spacing_between_slices_mm or header.slice_thickness_mm
    if depth is None:
        raise refused(
            "missing_geometry",
            "A single slice has neither SpacingBetweenSlices nor SliceThickness",
            where=f"{header.label}, (0018,0050)",
            hint="Without a depth it has no volume; send a series of slices.",
            attribute="SliceThickness",
        )
    return depth
