"""Gas in stomach and bowel that touches the lungs in a CT."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis_svc.anatomy.components import component_sizes
from analysis_svc.anatomy.plane_morphology import disc, erode

_GAS_HU: Final = -900.0
"""Three quarters of the inside of a gas bubble are under this value; of a lung less than that, but in severe
emphysema, which is why the surroundings and the size count too."""

_LARGEST_ML: Final = 600.0
"""Larger than a distended stomach or bowel loop is a lung."""

_BRIDGE_MM: Final = 5.0
"""Across the diaphragm, where thick slices average it away, gas and lung touch over less than this width."""

_SMALLEST_ML: Final = 1.0
_MOST_AIR_AROUND: Final = 0.3


def bowel_gas(voxels: NDArray[Any], air: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Any:
    """The part of the air in the body that is gas in stomach or bowel; a bulla, which lies in lung, is not.

    The air falls apart where it is narrow (an erosion in each axial slice). A part with the values of gas all through
    is gas if soft tissue is around it, and a bulla if lung is.

    Parameters
    ----------
    voxels
        Hounsfield units, axes (z, y, x).
    air
        Air in the body, same shape.
    spacing_mm
        Along (z, y, x).
    """
    element = disc(_BRIDGE_MM, spacing_mm[1:])
    narrowed = np.zeros_like(air)
    for index in np.flatnonzero(air.any(axis=(1, 2))):
        # Erosion of the part with air in it: the rest stays empty. At its border nothing is eroded wrongly, for there
        # the air ends too.
        rows, columns = (np.flatnonzero(air[index].any(axis=axis)) for axis in (1, 0))
        part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        narrowed[index][part] = erode(air[index][part], element)
    labels, count = ndimage.label(narrowed)
    gas = np.zeros_like(air)
    sizes = component_sizes(labels, count)
    dark = component_sizes(labels, count, voxels < _GAS_HU)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    boxes = ndimage.find_objects(labels)
    margin = [2, element.shape[0] // 2 + 2, element.shape[1] // 2 + 2]
    for number in range(1, count + 1):
        if not _SMALLEST_ML <= sizes[number] * voxel_ml <= _LARGEST_ML or dark[number] < 0.75 * sizes[number]:
            continue
        box = tuple(
            slice(max(0, part.start - room), part.stop + room)
            for part, room in zip(boxes[number - 1], margin, strict=True)
        )
        # A voxel more than the erosion took: the rim of the gas is blurred.
        whole = ndimage.binary_dilation(labels[box] == number, element[None])
        whole = ndimage.binary_dilation(whole, ndimage.generate_binary_structure(3, 1)) & air[box]
        ring = ndimage.binary_dilation(whole, ndimage.generate_binary_structure(3, 1), iterations=2) & ~whole
        if ring.any() and float(air[box][ring].mean()) <= _MOST_AIR_AROUND:
            gas[box] |= whole
    return gas
