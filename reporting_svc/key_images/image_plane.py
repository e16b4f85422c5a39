"""Where the plane of a frame lies in the patient (PS3.3 C.7.6.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imaging.dicom.header_value import numbers
from imaging.render.functional_groups import functional_group

_OUT_OF_PLANE_MM = 2.0
"""An axis was measured in a plane: its ends may lie off it by rounding, or by this much in thick slices."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ImagePlane:
    """Position, directions and pixel distances of a frame."""

    position_mm: NDArray[np.float64]
    """Patient coordinates (x, y, z) of the centre of the first pixel."""

    along_row: NDArray[np.float64]
    """Unit vector (x, y, z) in which the column index grows."""

    along_column: NDArray[np.float64]
    """Unit vector (x, y, z) in which the row index grows."""

    row_distance_mm: float
    column_distance_mm: float

    @classmethod
    def of(cls, header: Dataset, frame_number: int) -> ImagePlane | None:
        """The plane of a frame, counted from 1; None where the header does not tell it."""
        position = numbers(functional_group(header, frame_number, "PlanePositionSequence"), "ImagePositionPatient")
        directions = numbers(
            functional_group(header, frame_number, "PlaneOrientationSequence"), "ImageOrientationPatient"
        )
        spacing = numbers(functional_group(header, frame_number, "PixelMeasuresSequence"), "PixelSpacing")
        if position is None or directions is None or spacing is None:
            return None
        if (len(position), len(directions), len(spacing)) != (3, 6, 2) or min(spacing) <= 0:
            return None
        vectors = np.asarray(directions).reshape(2, 3)
        return cls(np.asarray(position), vectors[0], vectors[1], spacing[0], spacing[1])

    def line_in_image(self, line_mm: tuple[float, ...]) -> tuple[Point, Point] | None:
        """Ends of an axis as (column, row), counted from 0 at the centre of the first pixel; None if it is off plane.

        Parameters
        ----------
        line_mm
            x y z x y z in patient coordinates.
        """
        offsets = np.asarray(line_mm).reshape(2, 3) - self.position_mm
        normal = np.cross(self.along_row, self.along_column)
        if np.abs(offsets @ normal).max() > _OUT_OF_PLANE_MM:
            return None
        columns = offsets @ self.along_row / self.column_distance_mm
        rows = offsets @ self.along_column / self.row_distance_mm
        return (float(columns[0]), float(rows[0])), (float(columns[1]), float(rows[1]))

    def same_place(self, position_mm: NDArray[np.float64], tolerance_mm: float = 0.05) -> bool:
        """True if a frame with that position lies where this one does."""
        return bool(np.allclose(self.position_mm, position_mm, atol=tolerance_mm))

    def same_direction(self, directions: NDArray[np.float64], tolerance: float = 1e-3) -> bool:
        """True if ImageOrientationPatient, six numbers, is that of this plane."""
        return bool(np.allclose(np.concatenate([self.along_row, self.along_column]), directions, atol=tolerance))
