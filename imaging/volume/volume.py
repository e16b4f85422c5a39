"""A volume of voxels with its place in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """The stored frame that one slice of a volume was read from."""

    sop_instance_uid: str
    sop_class_uid: str
    frame_number: int
    """Counts from 1 (PS3.4 Y.3.2); 1 for a single-frame instance."""


@dataclass(frozen=True, slots=True)
class Volume:
    """Voxels on a regular grid, slices sorted along the normal of the image plane.

    Everything is in the patient coordinate system of PS3.3 C.7.6.2.1.1 (LPS): millimetres, x to the patient's left,
    y to the back, z to the head.
    """

    voxels: NDArray[np.float32] | NDArray[np.int16]
    """Shape (slices, rows, columns), C order; values after the Modality LUT (PS3.3 C.11.1), so HU for CT."""

    spacing_mm: tuple[float, float, float]
    """Distance of neighbouring voxel centres along (slices, rows, columns); along slices measured from positions."""

    origin_mm: tuple[float, float, float]
    """Patient coordinates (x, y, z) of the centre of voxel [0, 0, 0]."""

    direction: NDArray[np.float64]
    """Shape (3, 3): the rows are unit vectors (x, y, z) along which the index grows for (slices, rows, columns)."""

    frames: tuple[SourceFrame, ...]
    """One per slice, in the order of axis 0."""

    modality: str = ""
    units: str = "1"
    """UCUM unit of a voxel value: `[hnsf'U]` for Hounsfield units, `1` where the series does not tell."""

    frame_of_reference_uid: str = ""
    slice_thickness_mm: float | None = None
    """Nominal thickness (0018,0050); it may differ from the spacing (overlap or gap between slices)."""

    series_instance_uid: str = ""
    study_instance_uid: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    """Facts that models decide by, from the first slice, by DICOM keyword: ConvolutionKernel, BodyPartExamined,
    ImageType (values joined by a backslash), ContrastBolusAgent, KVP, Manufacturer. Empty ones are left out.
    PixelPaddingValue, where all slices have the same, is in the unit of the voxels (after the Modality LUT)."""

    sources: tuple[tuple[SourceFrame, ...], ...] = ()
    """For each slice all frames that it was made of, where these are not simply those around its place; else empty."""

    def sources_of(self, start: int, stop: int) -> tuple[SourceFrame, ...]:
        """The frames that slices `start` to `stop` - 1 were made of, each once."""
        several = self.sources[start:stop] or [(frame,) for frame in self.frames[start:stop]]
        return tuple(dict.fromkeys(frame for frames in several for frame in frames))

    @property
    def voxel_volume_mm3(self) -> float:
        """The volume of one voxel in cubic millimetres."""
        return float(np.prod(self.spacing_mm))

    @property
    def affine(self) -> NDArray[np.float64]:
        """Shape (4, 4): maps index (slice, row, column, 1), counted from 0, to patient (x, y, z, 1) in millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction.T * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.origin_mm
        return matrix

    def to_patient_mm(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Patient coordinates, shape (n, 3) as (x, y, z) mm, of voxel indices, shape (n, 3) as (slice, row, column)."""
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]
