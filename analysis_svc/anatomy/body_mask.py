"""The body of the patient in a CT, without the table."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis_svc.anatomy.components import component_sizes
from analysis_svc.anatomy.plane_morphology import dilate, disc, opened

SKIN_HU: Final = -500.0
"""About half-way between air (-1000 HU) and skin or fat (-100 to 0 HU), so that the edge lies where the skin is."""

_OPENING_MM: Final = 3.0
"""Thinner things, such as a table's shell, a tube or clothes, come off the body."""

_MIN_BODY_ML: Final = 1.0
_CROSS: Final = ndimage.generate_binary_structure(2, 1)


def body_mask(voxels: NDArray[Any], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Everything within the skin, lungs and bowel gas included; all False if there is no body.

    The largest connected part over -500 HU after an opening in each axial slice; holes are filled slice by slice, as
    the lungs of a chest are open towards the ends of the volume (Hu, Hoffman, Reinhardt: IEEE TMI 20, 490, 2001).

    Parameters
    ----------
    voxels
        Hounsfield units, axes (z, y, x).
    spacing_mm
        Along (z, y, x).
    """
    dense = voxels > SKIN_HU
    element = disc(_OPENING_MM, spacing_mm[1:])
    thick = np.empty_like(dense)
    for index, plane in enumerate(dense):
        thick[index] = opened(plane, element)
    labels, count = ndimage.label(thick)
    if count == 0:
        return np.zeros_like(dense)
    sizes = component_sizes(labels, count)
    largest = int(sizes.argmax())
    if sizes[largest] * float(np.prod(spacing_mm)) < _MIN_BODY_ML * 1000:
        return np.zeros_like(dense)
    body: NDArray[np.bool_] = labels == largest
    for index, plane in enumerate(body):
        # The opening rounds off corners of the skin; what touches the body and is dense belongs to it.
        grown = dilate(plane, _CROSS) & dense[index]
        body[index] = ndimage.binary_fill_holes(grown | plane)
    return body
