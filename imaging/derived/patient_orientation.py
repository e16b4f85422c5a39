"""Directions in the letters of the patient's body."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_LETTERS: Final = (("R", "L"), ("A", "P"), ("F", "H"))
"""Negative and positive direction of x, y and z (PS3.3 C.7.6.2.1.1)."""

_LEAST: Final = 0.25
"""Components smaller than this (about 15 degrees) are not told."""


def direction_letters(direction: NDArray[np.float64]) -> str:
    """A direction as PatientOrientation (0020,0020) tells it, the main component first: `L`, `PH`, `HLA`.

    Parameters
    ----------
    direction
        Shape (3,): x, y, z, of length 1 (PS3.3 C.7.6.1.1.1).
    """
    by_size = sorted(range(3), key=lambda axis: -abs(float(direction[axis])))
    return "".join(_LETTERS[axis][int(direction[axis] > 0)] for axis in by_size if abs(direction[axis]) >= _LEAST)
