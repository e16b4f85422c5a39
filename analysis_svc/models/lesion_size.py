"""The size of a dense lesion in lung, finer than the voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis_svc.models.recist_axes import recist_axes
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

    short_axis_ends: NDArray[np.float64]
    """Shape (2, 3), in the slice of the long axis."""

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
    and lung, interpolated between voxels. Long and short axis are those of `recist_axes`.

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
    axes = recist_axes(level, np.flatnonzero(mask.any(axis=(1, 2))), spacing_mm)
    if axes is None:
        return None
    surface = SurfaceMesh.of(level, spacing_mm)
    weights = np.clip(level, 0.0, 1.0) * rim
    centre = np.array(ndimage.center_of_mass(weights), dtype=np.float64)
    return LesionSize(
        volume_mm3=volume_mm3,
        long_axis_mm=axes.long_mm,
        short_axis_mm=axes.short_mm,
        long_axis_ends=axes.long_ends,
        short_axis_ends=axes.short_ends,
        maximum_3d_diameter_mm=max(surface.maximum_diameter_mm, axes.long_mm),
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
