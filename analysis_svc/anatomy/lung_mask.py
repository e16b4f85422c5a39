"""The lungs in a CT of the chest, without airways, left and right apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis_svc.anatomy.airways import airways_mask
from analysis_svc.anatomy.bowel_gas import bowel_gas
from analysis_svc.anatomy.components import component_sizes, members
from analysis_svc.anatomy.lung_sides import split_sides
from analysis_svc.anatomy.plane_morphology import erode

_START_HU: Final = -500.0
_LIMIT_RANGE_HU: Final = (-600.0, -350.0)
_PARENCHYMA_HU: Final = (-950.0, -600.0)
_LEAST_PARENCHYMA: Final = 0.2
"""Part of the voxels of a lung with the values of lung tissue. Air in a phantom has fewer: -1000 HU all through."""

_SMALLEST_LUNG_ML: Final = 40.0
_CROSS: Final = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True, slots=True)
class Lungs:
    """Masks with axes (z, y, x); vessels and lesions inside the lungs are not in them."""

    right: NDArray[np.bool_]
    left: NDArray[np.bool_]
    limit_hu: float
    """Under this value a voxel is air or lung."""

    touching: bool
    """True if the lungs were one region and had to be parted."""

    @property
    def both(self) -> NDArray[np.bool_]:
        """Right and left together."""
        return self.right | self.left


def lung_mask(voxels: NDArray[Any], body: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Lungs:
    """The lungs; empty masks if nothing in the body looks like a lung.

    After Hu, Hoffman, Reinhardt (IEEE TMI 20, 490, 2001): the limit between lung and other tissue is the optimal one,
    half-way between the means of both sides, found by iteration; regions that are large enough and have the values of
    lung tissue are kept; trachea, main bronchi and gas of the bowel are taken out; right and left are parted.

    Parameters
    ----------
    voxels
        Hounsfield units, axes (z, y, x) to head, back and left.
    body
        Everything within the skin, same shape.
    spacing_mm
        Along (z, y, x).
    """
    limit = _optimal_limit(voxels, body)
    # One voxel off the skin, which is blurred and would count as lung.
    inner = np.empty_like(body)
    for index, plane in enumerate(body):
        inner[index] = erode(erode(plane, _CROSS), _CROSS)
    air = inner & (voxels < limit)
    air &= ~airways_mask(voxels, air, spacing_mm)
    air &= ~bowel_gas(voxels, air, spacing_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    labels, count = ndimage.label(air)
    sizes = component_sizes(labels, count)
    lung_like = np.zeros(len(sizes), dtype=np.bool_)
    tissue = component_sizes(labels, count, (voxels > _PARENCHYMA_HU[0]) & (voxels < _PARENCHYMA_HU[1]))
    for number in np.flatnonzero(sizes * voxel_ml >= _SMALLEST_LUNG_ML):
        lung_like[number] = tissue[number] >= _LEAST_PARENCHYMA * sizes[number]
    lungs = members(labels, lung_like)
    del labels  # 420 MB for 400 slices of 512 x 512
    right, left, touching = split_sides(lungs, spacing_mm)
    return Lungs(right, left, limit, touching)


def _optimal_limit(voxels: NDArray[Any], body: NDArray[np.bool_]) -> float:
    values = voxels[body]
    low, high = -1024, 200
    counts, _ = np.histogram(np.clip(values, low, high), bins=np.arange(low, high + 2))
    centres = np.arange(low, high + 1, dtype=np.float64)
    limit = _START_HU
    for _ in range(50):
        air = centres < limit
        if not counts[air].sum() or not counts[~air].sum():
            return _START_HU
        nearer = (np.average(centres[air], weights=counts[air]) + np.average(centres[~air], weights=counts[~air])) / 2
        if abs(nearer - limit) < 0.5:
            break
        limit = float(nearer)
    return float(np.clip(limit, *_LIMIT_RANGE_HU))
