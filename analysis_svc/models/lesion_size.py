"""The size of a dense lesion in lung, finer than the voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import pdist, squareform
from skimage import measure

from analysis_svc.radiomics.surface_mesh import SurfaceMesh

_SHELL_MM: Final = 3.5


@dataclass(frozen=True, slots=True)
class LesionSize:
    """Measures of one lesion; indices are (z, y, x), fractional, counted from 0 in the box that was measured."""

    volume_mm3: float
    long_axis_mm: float
    short_axis_mm: float
    long_axis_ends: NDArray[np.float64]
    """Shape (2, 3)."""

    maximum_3d_diameter_mm: float
    sphericity: float
    centre: NDArray[np.float64]
    """Shape (3,)."""

    mean_hu: float
    mask: NDArray[np.bool_]
    """Shape of the box: the voxels of which at least a half is lesion."""


def measure_lesion(
    voxels: NDArray[Any],
    region: NDArray[np.bool_],
    allowed: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> LesionSize | None:
    """The size of the lesion in a box; None if it is too small to tell its density from its edge.

    A voxel at the edge is a mixture of lesion and lung, and its value tells in what parts. So the volume is the sum of
    the parts, (value - lung) / (lesion - lung), over the lesion and a thin shell round it, in which noise adds up to
    nothing (Kuhnigk et al.: IEEE TMI 25, 417, 2006); and the outline runs where the value is half-way between lesion
    and lung, interpolated between voxels. Long and short axis are those of RECIST 1.1 (Eisenhauer et al.: Eur J Cancer
    45, 228, 2009): the longest line in an axial slice, and the longest one at right angles to it in the same slice.

    Parameters
    ----------
    voxels
        Hounsfield units of the box, axes (z, y, x).
    region
        Roughly the lesion.
    allowed
        Where the lesion and its surroundings may lie: the lungs and what is in them.
    spacing_mm
        Along (z, y, x).
    """
    values = np.asarray(voxels, dtype=np.float64)
    depth = ndimage.distance_transform_edt(np.pad(region, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    outside = ndimage.distance_transform_edt(~region, sampling=spacing_mm)
    step = max(spacing_mm)
    core = depth > min(1.5 * step, 0.6 * float(depth.max()))
    shell = allowed & (outside > 1.5 * step) & (outside <= 1.5 * step + _SHELL_MM)
    if core.sum() < 3 or shell.sum() < 10:
        return None
    inside_hu, lung_hu = float(np.median(values[core])), float(np.median(values[shell]))
    if inside_hu - lung_hu < 100:
        return None
    part = (values - lung_hu) / (inside_hu - lung_hu)
    near = allowed & (outside <= 1.8 * step)
    volume_mm3 = float(part[near].sum() * np.prod(spacing_mm))
    # Beyond the shell other structures begin: they must not pull the outline.
    level = np.where(near, part, np.minimum(part, 0.0))
    mask = _connected(level >= 0.5, region)
    if not mask.any() or volume_mm3 <= 0:
        return None
    rim = ndimage.binary_dilation(mask, ndimage.generate_binary_structure(3, 3))
    level = np.where(rim, level, np.minimum(level, 0.0))
    axes = _recist_axes(level, mask, spacing_mm)
    if axes is None:
        return None
    long_axis_mm, short_axis_mm, ends = axes
    surface = SurfaceMesh.of(level, spacing_mm)
    weights = np.clip(level, 0.0, 1.0) * rim
    centre = np.array(ndimage.center_of_mass(weights), dtype=np.float64)
    return LesionSize(
        volume_mm3=volume_mm3,
        long_axis_mm=long_axis_mm,
        short_axis_mm=short_axis_mm,
        long_axis_ends=ends,
        maximum_3d_diameter_mm=max(surface.maximum_diameter_mm, long_axis_mm),
        sphericity=surface.sphericity,
        centre=centre,
        mean_hu=float(values[mask & (depth > step)].mean()) if (mask & (depth > step)).any() else inside_hu,
        mask=mask,
    )


def _connected(mask: NDArray[np.bool_], region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part of a mask that shares the most voxels with a region."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    shared = np.bincount(labels[region], minlength=count + 1)
    shared[0] = 0
    connected: NDArray[np.bool_] = labels == int(shared.argmax())
    return connected


def _recist_axes(
    level: NDArray[np.float64], mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[float, float, NDArray[np.float64]] | None:
    """Long and short axis in millimetres, and the ends of the long one as (z, y, x) indices."""
    best: tuple[float, float, NDArray[np.float64]] | None = None
    scale = np.asarray(spacing_mm[1:])
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        contours = _contours(np.pad(level[z], 1, constant_values=0.0))
        if not contours:
            continue
        outline = max(contours, key=len) - 1.0
        if len(outline) < 4:
            continue
        points = outline * scale
        distances = squareform(pdist(points))
        first, second = np.unravel_index(int(distances.argmax()), distances.shape)
        length = float(distances[first, second])
        if best is None or length > best[0]:
            across = np.array([-(points[second] - points[first])[1], (points[second] - points[first])[0]]) / length
            ends = np.array([[z, *outline[first]], [z, *outline[second]]], dtype=np.float64)
            best = (length, _longest_chord(points, across), ends)
    return best


def _longest_chord(points: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """The longest line along a direction between two points of a closed outline.

    The outline is cut by lines along the direction, a tenth of a millimetre apart.
    """
    along = points @ direction
    beside = points @ np.array([-direction[1], direction[0]])
    starts, ends = beside[:-1], beside[1:]
    longest = 0.0
    for place in np.arange(beside.min() + 0.05, beside.max(), 0.1):
        crossing = (starts <= place) != (ends <= place)
        if crossing.sum() < 2:
            continue
        part = (place - starts[crossing]) / (ends[crossing] - starts[crossing])
        cuts = along[:-1][crossing] + part * (along[1:][crossing] - along[:-1][crossing])
        longest = max(longest, float(cuts.max() - cuts.min()))
    return longest


def _contours(level: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Outlines at 0.5 as (row, column) points, the last of each being the first again."""
    outlines: list[NDArray[np.float64]] = measure.find_contours(level, 0.5)  # type: ignore[no-untyped-call] # untyped
    return outlines
