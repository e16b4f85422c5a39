"""Arrays turned to the patient's axes, so that a model need not care how a series was acquired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.volume.volume import Volume


@dataclass(frozen=True, slots=True)
class PatientAxes:
    """How to turn arrays of a volume's shape to axes (to the head, to the back, to the patient's left), and back.

    The axes of an oblique volume go to those of the patient that they are nearest to. Turning copies nothing: views
    come back.
    """

    order: tuple[int, int, int]
    """The volume's axis that runs along the patient's z, y and x."""

    flipped: tuple[bool, bool, bool]
    """Per patient axis (z, y, x): whether the volume's index grows to the feet, to the front, to the right."""

    spacing_mm: tuple[float, float, float]
    """Along (z, y, x)."""

    @classmethod
    def of(cls, volume: Volume) -> PatientAxes:
        """The axes of a volume (PS3.3 C.7.6.2.1.1: x to the left, y to the back, z to the head)."""
        # Rows: volume axes; columns: z, y, x. The assignment with the largest sum of cosines is unique for a rotation.
        cosines = np.asarray(volume.direction, dtype=np.float64)[:, ::-1]
        candidates = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
        best = max(candidates, key=lambda order: sum(abs(cosines[order[axis], axis]) for axis in range(3)))
        flips = [bool(cosines[best[axis], axis] < 0) for axis in range(3)]
        spacing = [volume.spacing_mm[best[axis]] for axis in range(3)]
        return cls(best, (flips[0], flips[1], flips[2]), (spacing[0], spacing[1], spacing[2]))

    def turn(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of an array of the volume's shape as (z, y, x)."""
        return np.flip(array.transpose(self.order), self._flipped_axes)

    def turn_back(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of a (z, y, x) array in the volume's shape."""
        inverse = [self.order.index(axis) for axis in range(3)]
        return np.flip(array, self._flipped_axes).transpose(inverse)

    def volume_index(self, index: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
        """The volume's indices (slice, row, column) of (z, y, x) indices, both of shape (n, 3), counted from 0.

        Parameters
        ----------
        index
            May be fractional.
        shape
            Of the turned array.
        """
        turned = np.array(index, dtype=np.float64)
        for axis in self._flipped_axes:
            turned[:, axis] = shape[axis] - 1 - turned[:, axis]
        result = np.empty_like(turned)
        for axis in range(3):
            result[:, self.order[axis]] = turned[:, axis]
        return result

    @property
    def _flipped_axes(self) -> tuple[int, ...]:
        return tuple(axis for axis in range(3) if self.flipped[axis])
