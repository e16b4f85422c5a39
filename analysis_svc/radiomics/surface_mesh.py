"""The surface of a region as a mesh of triangles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist
from skimage import measure


@dataclass(frozen=True)
class SurfaceMesh:
    """A closed surface in millimetres."""

    vertices_mm: NDArray[np.float64]
    """Shape (n, 3), axes (slice, row, column); the centre of voxel [0, 0, 0] is the origin."""

    faces: NDArray[np.int32]
    """Shape (m, 3): the vertices of each triangle."""

    @classmethod
    def of(cls, level: NDArray[Any], spacing_mm: tuple[float, float, float]) -> SurfaceMesh:
        """The surface on which a level is 0.5, by marching cubes; outside the array the level is 0.

        Parameters
        ----------
        level
            Shape (slices, rows, columns): a mask, or the part of each voxel that is inside, 0 to 1.
        spacing_mm
            Along (slices, rows, columns).

        Raises
        ------
        ValueError
            If the level is nowhere 0.5.
        """
        padded = np.pad(np.asarray(level, dtype=np.float32), 1, constant_values=0.0)
        surface = measure.marching_cubes(padded, 0.5, spacing=spacing_mm)  # type: ignore[no-untyped-call] # untyped
        return cls(np.asarray(surface[0], dtype=np.float64) - np.asarray(spacing_mm), surface[1])

    @cached_property
    def area_mm2(self) -> float:
        """IBSI C0JK: the sum of the areas of the triangles."""
        first, second, third = self._corners
        return float(np.linalg.norm(np.cross(second - first, third - first), axis=1).sum()) / 2

    @cached_property
    def volume_mm3(self) -> float:
        """IBSI RNU0: the sum of the signed volumes of the tetrahedra between the triangles and a point."""
        first, second, third = self._corners
        return abs(float(np.einsum("ij,ij->i", first, np.cross(second, third)).sum())) / 6

    @cached_property
    def sphericity(self) -> float:
        """IBSI QCFX: 1 for a ball, less for any other shape."""
        return float((36 * np.pi * self.volume_mm3**2) ** (1 / 3) / self.area_mm2)

    @cached_property
    def hull(self) -> ConvexHull | None:
        """The convex hull of the vertices; None for a surface without volume."""
        try:
            return ConvexHull(self.vertices_mm)
        except QhullError:
            return None

    @cached_property
    def maximum_diameter_mm(self) -> float:
        """IBSI L0JK: the largest distance of two vertices; 0 for a surface without volume."""
        return 0.0 if self.hull is None else float(pdist(self.vertices_mm[self.hull.vertices]).max())

    @property
    def _corners(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        return (
            self.vertices_mm[self.faces[:, 0]],
            self.vertices_mm[self.faces[:, 1]],
            self.vertices_mm[self.faces[:, 2]],
        )
