"""Solid shapes, and how much of each voxel they fill."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Grid:
    """Voxel centres in patient coordinates, axes along the patient's (PS3.3 C.7.6.2.1.1)."""

    shape: tuple[int, int, int]
    """(slices, rows, columns)."""

    spacing_mm: tuple[float, float, float]
    """(slices, rows, columns)."""

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Centre (x, y, z) of voxel [0, 0, 0]; the grid lies centred on the patient's origin."""
        z, y, x = (-(count - 1) / 2 * step for count, step in zip(self.shape, self.spacing_mm, strict=True))
        return (x, y, z)

    def axis_mm(self, axis: int) -> NDArray[np.float64]:
        """Coordinates of the voxel centres along axis 0 (z), 1 (y) or 2 (x)."""
        origin = self.origin_mm[2 - axis]
        return origin + np.arange(self.shape[axis], dtype=np.float64) * self.spacing_mm[axis]


class Shape(Protocol):
    """A solid of which inside and outside can be told by one function of the place."""

    def level(self, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """At most 1 inside, over 1 outside; millimetres; the arrays broadcast."""
        ...

    def bounds_mm(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """The smallest and the largest (z, y, x) that the shape may reach."""
        ...


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid, turned about the z axis."""

    centre_mm: tuple[float, float, float]
    """(x, y, z)."""

    semi_axes_mm: tuple[float, float, float]
    """(x, y, z) before turning."""

    turn_degrees: float = 0.0

    @property
    def volume_mm3(self) -> float:
        """The exact volume."""
        a, b, c = self.semi_axes_mm
        return 4 / 3 * math.pi * a * b * c

    @property
    def long_axis_mm(self) -> float:
        """The largest diameter."""
        return 2 * max(self.semi_axes_mm)

    def level(self, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Shape.level`."""
        dx, dy, dz = (place - centre for place, centre in zip((x, y, z), self.centre_mm, strict=True))
        turn = math.radians(self.turn_degrees)
        along = dx * math.cos(turn) + dy * math.sin(turn)
        across = dy * math.cos(turn) - dx * math.sin(turn)
        a, b, c = self.semi_axes_mm
        return np.asarray((along / a) ** 2 + (across / b) ** 2 + (dz / c) ** 2)

    def bounds_mm(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """See `Shape.bounds_mm`."""
        x, y, z = self.centre_mm
        a, b, c = self.semi_axes_mm
        if self.turn_degrees % 180:
            a = b = max(a, b)
        return ((z - c, z + c), (y - b, y + b), (x - a, x + a))


@dataclass(frozen=True, slots=True)
class Column:
    """A body along z with an elliptic or a rectangular section, from one z to another."""

    centre_mm: tuple[float, float]
    """(x, y)."""

    semi_axes_mm: tuple[float, float]
    """(x, y)."""

    z_mm: tuple[float, float]
    rectangular: bool = False

    @property
    def volume_mm3(self) -> float:
        """The exact volume."""
        a, b = self.semi_axes_mm
        return (4 if self.rectangular else math.pi) * a * b * (self.z_mm[1] - self.z_mm[0])

    def level(self, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Shape.level`."""
        u, v = (x - self.centre_mm[0]) / self.semi_axes_mm[0], (y - self.centre_mm[1]) / self.semi_axes_mm[1]
        section = np.maximum(np.abs(u), np.abs(v)) if self.rectangular else u**2 + v**2
        return np.where((z >= self.z_mm[0]) & (z <= self.z_mm[1]), section, 2.0)

    def bounds_mm(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """See `Shape.bounds_mm`."""
        (x, y), (a, b) = self.centre_mm, self.semi_axes_mm
        return (self.z_mm, (y - b, y + b), (x - a, x + a))


def coverage(shape: Shape, grid: Grid, samples: int = 6) -> tuple[tuple[slice, slice, slice], NDArray[np.float64]]:
    """The part of the grid that a shape may touch, and the filled fraction (0 to 1) of each voxel in it.

    Voxels whose eight corners agree with their centre are taken as whole; the others, those on the surface, are
    sampled at `samples` cubed places. So the edges have true partial volume at little cost.
    """
    box = tuple(
        slice(
            max(0, math.floor((low - grid.axis_mm(axis)[0]) / grid.spacing_mm[axis])),
            min(grid.shape[axis], math.ceil((high - grid.axis_mm(axis)[0]) / grid.spacing_mm[axis]) + 1),
        )
        for axis, (low, high) in enumerate(shape.bounds_mm())
    )
    z, y, x = (grid.axis_mm(axis)[box[axis]] for axis in range(3))
    dz, dy, dx = grid.spacing_mm
    filled = shape.level(x[None, None, :], y[None, :, None], z[:, None, None]) <= 1
    fraction = filled.astype(np.float64)
    corners = shape.level(_edges(x, dx)[None, None, :], _edges(y, dy)[None, :, None], _edges(z, dz)[:, None, None]) <= 1
    count = np.zeros(filled.shape, dtype=np.int8)
    for k in (slice(None, -1), slice(1, None)):
        for j in (slice(None, -1), slice(1, None)):
            for i in (slice(None, -1), slice(1, None)):
                count += corners[k, j, i]
    surface = np.argwhere(count != np.where(filled, 8, 0))
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    oz, oy, ox = (axis.ravel() for axis in np.meshgrid(offsets * dz, offsets * dy, offsets * dx, indexing="ij"))
    for part in np.array_split(surface, max(1, len(surface) // 20_000)):
        k, j, i = part.T
        level = shape.level(x[i][:, None] + ox, y[j][:, None] + oy, z[k][:, None] + oz)
        fraction[k, j, i] = (level <= 1).mean(axis=1)
    return (box[0], box[1], box[2]), fraction


def _edges(centres: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    return np.append(centres - step / 2, centres[-1:] + step / 2)
