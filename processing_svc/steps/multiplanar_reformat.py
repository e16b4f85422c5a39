"""Axial, coronal, sagittal or oblique planes out of any volume."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import Field, model_validator
from pydicom.sr.codedict import codes

from imaging.derived.derivation import Derivation
from imaging.volume.reformat import reformat
from imaging.volume.volume import Volume
from processing_svc.steps.step import Progress, Step, StepParameters

Vector = tuple[float, float, float]

_PLANES: Final[dict[str, tuple[Vector, Vector]]] = {
    "axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    "sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
}
"""Directions of a row and a column, as readers look at them: patient's left on the right, head up."""


class MultiplanarReformatParameters(StepParameters):
    """Which planes, and how fine."""

    plane: Literal["axial", "coronal", "sagittal", "oblique"] = Field(
        default="coronal", description="Orientation to the patient; oblique: as the two directions say."
    )
    row_direction: list[float] | None = Field(
        default=None,
        min_length=3,
        max_length=3,
        description="Oblique: direction along a row as x, y, z (PS3.3 C.7.6.2).",
    )
    column_direction: list[float] | None = Field(
        default=None, min_length=3, max_length=3, description="Oblique: direction down a column as x, y, z."
    )
    spacing_mm: float | None = Field(
        default=None,
        ge=0.1,
        le=20.0,
        description="Size of a pixel in millimetres; not given: the smallest spacing of the volume.",
    )
    slice_spacing_mm: float | None = Field(
        default=None, ge=0.1, le=100.0, description="Distance of the planes in millimetres; not given: spacing_mm."
    )

    @model_validator(mode="after")
    def _directions_fit(self) -> MultiplanarReformatParameters:
        given = self.row_direction is not None, self.column_direction is not None
        if given != (self.plane == "oblique",) * 2:
            raise ValueError("row_direction and column_direction are given for the oblique plane, and for it alone")
        return self

    @property
    def directions(self) -> tuple[Vector, Vector]:
        """Of a row and of a column."""
        if self.row_direction is None or self.column_direction is None:
            return _PLANES[self.plane]
        (a, b, c), (x, y, z) = self.row_direction, self.column_direction
        return (a, b, c), (x, y, z)


class MultiplanarReformat(Step[MultiplanarReformatParameters]):
    """See `imaging.volume.reformat`: linear interpolation (trilinear), same middle, whole volume, geometry exact."""

    name: ClassVar[str] = "multiplanar-reformat"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Cut the volume along axial, coronal, sagittal or oblique planes (MPR)."
    Parameters = MultiplanarReformatParameters

    def apply(self, volume: Volume, parameters: MultiplanarReformatParameters, progress: Progress) -> Volume:
        """The volume on the new planes."""
        pixel = parameters.spacing_mm or min(volume.spacing_mm)
        row, column = parameters.directions
        return reformat(volume, row, column, (parameters.slice_spacing_mm or pixel, pixel, pixel), progress)

    def derivation(self, parameters: MultiplanarReformatParameters) -> Derivation:
        """113072 Multiplanar reformatting."""
        return Derivation(
            description=f"Reformatted to {parameters.plane} planes by linear interpolation",
            codes=(codes.DCM.MultiplanarReformatting,),
            series_suffix=f"MPR {parameters.plane}",
            image_type="MPR",
        )
