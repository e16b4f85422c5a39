"""A volume out of frames: checked, sorted along the normal, in units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.volume.frame_header import FrameHeader
from imaging.volume.geometry import VolumeGeometry, volume_geometry
from imaging.volume.header_values import refused
from imaging.volume.padding import one_padding, padding_text
from imaging.volume.volume import Volume

StoredValues = NDArray[Any]
"""Shape (rows, columns), integers as decoded, or floats of Float Pixel Data."""


def assemble(
    frames: Sequence[tuple[FrameHeader, StoredValues]], *, min_slices: int = 2, unify_padding: bool = True
) -> Volume:
    """The volume that frames make, in any order; values after slope and intercept (PS3.3 C.11.1).

    The voxels are int16 where that is exact (whole stored values, whole slope and intercept, result within the range),
    else float32. `volume_geometry` tells what is refused; ask it first, with the headers alone, to spare the reading
    of pixels that make no volume.

    Parameters
    ----------
    frames
        Header and stored values of each.
    min_slices
        See `volume_geometry`.
    unify_padding
        All padding gets the value that stands in `Volume.attributes`, see `one_padding`; False: all voxels stay as
        the images have them.

    Raises
    ------
    VolumeRefused
        See `volume_geometry`; also rule `pixel_shape` if an array is not (rows, columns).
    """
    headers = [header for header, _ in frames]
    geometry = volume_geometry(headers, min_slices=min_slices)
    for header, stored in frames:
        if stored.shape != (header.rows, header.columns):
            raise refused(
                "pixel_shape",
                f"The decoded frame has the shape {stored.shape} instead of {(header.rows, header.columns)}",
                where=header.label,
                hint="Give each frame as rows and columns of single values.",
            )
    ordered = [frames[index] for index in geometry.order]
    exact = all(_is_exact_int16(header, stored) for header, stored in ordered)
    voxels: NDArray[np.int16] | NDArray[np.float32]
    voxels = np.empty(geometry.shape, dtype=np.int16) if exact else np.empty(geometry.shape, dtype=np.float32)
    for index, (header, stored) in enumerate(ordered):
        voxels[index] = _rescaled(header, stored)
    padding = one_padding(voxels, [_padding(header) for header, _ in ordered]) if unify_padding else None
    return _volume(voxels, geometry, [header for header, _ in ordered], padding)


def _padding(header: FrameHeader) -> tuple[float, float] | None:
    if header.padding_value is None:
        return None
    return header.padding_value, header.padding_value if header.padding_limit is None else header.padding_limit


def _is_exact_int16(header: FrameHeader, stored: StoredValues) -> bool:
    slope, intercept = header.rescale_slope, header.rescale_intercept
    if stored.dtype.kind not in "iu" or not slope.is_integer() or not intercept.is_integer():
        return False
    ends = sorted((int(stored.min()) * int(slope) + int(intercept), int(stored.max()) * int(slope) + int(intercept)))
    return ends[0] >= -32768 and ends[1] <= 32767


def _rescaled(header: FrameHeader, stored: StoredValues) -> NDArray[Any]:
    if header.rescale_slope == 1 and header.rescale_intercept == 0:
        return stored
    # In double precision: a 32-bit dose value has more digits than a float32 holds.
    return stored * np.float64(header.rescale_slope) + np.float64(header.rescale_intercept)


def _volume(
    voxels: NDArray[np.int16] | NDArray[np.float32],
    geometry: VolumeGeometry,
    headers: Sequence[FrameHeader],
    padding: float | None,
) -> Volume:
    first = headers[0]
    thickness = first.slice_thickness_mm
    if thickness is not None and any(
        header.slice_thickness_mm is None or abs(header.slice_thickness_mm - thickness) > 0.01 * thickness
        for header in headers
    ):
        thickness = None
    attributes = dict(first.attributes)
    if padding is not None:
        attributes["PixelPaddingValue"] = padding_text(padding)
    return Volume(
        voxels=voxels,
        spacing_mm=geometry.spacing_mm,
        origin_mm=geometry.origin_mm,
        direction=geometry.direction,
        frames=tuple(header.source for header in headers),
        modality=first.modality,
        units=first.units,
        frame_of_reference_uid=first.frame_of_reference_uid,
        slice_thickness_mm=thickness,
        series_instance_uid=first.series_instance_uid,
        study_instance_uid=first.study_instance_uid,
        attributes=attributes,
    )
