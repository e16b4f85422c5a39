"""Thick slices out of thin ones: the largest, smallest or mean value over each slab."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydicom.sr.codedict import codes

from imaging.derived.derivation import Derivation
from imaging.errors import VolumeRefused
from imaging.volume.padding import is_padding, padding_value
from imaging.volume.volume import Volume
from processing_svc.steps.step import Progress, Step, StepParameters

_HOW: Final = {
    "maximum": ("Maximum", "MIP", codes.DCM.MaximumIntensityProjection),
    "minimum": ("Minimum", "MinIP", codes.DCM.MinimumIntensityProjection),
    "mean": ("Mean", "mean", codes.DCM.PixelByPixelMean),
}


class SlabProjectionParameters(StepParameters):
    """How thick the slabs are, and how far apart."""

    how: Literal["maximum", "minimum", "mean"] = Field(
        default="maximum", description="Value of a slab along the normal of the slices: MIP, MinIP or mean."
    )
    thickness_mm: float = Field(default=10.0, gt=0, le=500.0, description="Thickness of a slab in millimetres.")
    spacing_mm: float | None = Field(
        default=None,
        gt=0,
        le=500.0,
        description="Distance of the middles of neighbouring slabs in millimetres; not given: half the thickness.",
    )


class SlabProjection(Step[SlabProjectionParameters]):
    """Slab projections along the normal of the slices (Napel, Rubin, Jeffrey 1993, J Comput Assist Tomogr 17:832).

    A slab is a whole number of slices, at least two, and the step from one to the next at least one: what comes nearest
    to what is asked for, and the images tell what came of it. Slices at the end that fill no slab are left out.
    """

    name: ClassVar[str] = "slab-projection"
    version: ClassVar[str] = "1.1"
    description: ClassVar[str] = "Project slabs of slices by their largest, smallest or mean value (MIP, MinIP, mean)."
    Parameters = SlabProjectionParameters

    def apply(self, volume: Volume, parameters: SlabProjectionParameters, progress: Progress) -> Volume:
        """One slice a slab, in its middle, as thick as the slab; rows, columns, dtype stay (whole numbers rounded).

        Raises
        ------
        VolumeRefused
            Rule `slab_of_one_slice`.
        """
        count, spacing = volume.voxels.shape[0], volume.spacing_mm[0]
        slices = min(count, _nearest(parameters.thickness_mm / spacing))
        if slices < 2:
            raise VolumeRefused(
                f"A slab of {parameters.thickness_mm:g} mm would be one slice: there are {count}, {spacing:g} mm apart",
                where="thickness_mm",
                hint="Choose a thickness of at least one and a half times the distance of the slices.",
                metadata={"rule": "slab_of_one_slice"},
            )
        step = _nearest((parameters.spacing_mm or parameters.thickness_mm / 2) / spacing)
        padding = padding_value(volume)
        starts = range(0, count - slices + 1, step)
        result = np.empty((len(starts), *volume.voxels.shape[1:]), dtype=volume.voxels.dtype)
        for index, start in enumerate(starts):
            result[index] = _projected(volume.voxels[start : start + slices], parameters.how, padding)
            progress(index + 1, len(starts))
        middle = (slices - 1) / 2
        x, y, z = volume.to_patient_mm(np.array([[middle, 0.0, 0.0]]))[0]
        outermost = volume.slice_thickness_mm if volume.slice_thickness_mm is not None else spacing
        return replace(
            volume,
            voxels=result,
            spacing_mm=(step * spacing, *volume.spacing_mm[1:]),
            origin_mm=(float(x), float(y), float(z)),
            frames=tuple(volume.frames[start + slices // 2] for start in starts),
            sources=tuple(volume.sources_of(start, start + slices) for start in starts),
            slice_thickness_mm=(slices - 1) * spacing + outermost,
        )

    def derivation(self, parameters: SlabProjectionParameters) -> Derivation:
        """Maximum or minimum intensity projection, or pixel by pixel mean, of CID 7203."""
        return _derivation(parameters.how, parameters.thickness_mm)

    def derivation_of(self, processed: Volume, parameters: SlabProjectionParameters) -> Derivation:
        """With the thickness that the slabs have."""
        return _derivation(parameters.how, processed.slice_thickness_mm or parameters.thickness_mm)


def _derivation(how: str, thickness_mm: float) -> Derivation:
    word, short, code = _HOW[how]
    return Derivation(
        description=f"{word} over slabs of {thickness_mm:g} mm along the normal of the slices",
        codes=(code,),
        series_suffix=f"{short} {thickness_mm:g} mm",
        image_type=short.upper(),
    )


def _nearest(slices: float) -> int:
    return max(1, math.floor(slices + 0.5))


def _projected(slab: NDArray[Any], how: str, padding_value: float | None) -> NDArray[Any]:
    """Over the voxels that are no padding; padding where all are."""
    padding = is_padding(slab, padding_value)
    where: Any = True if padding is None else ~padding
    if how == "mean":
        total = slab.sum(axis=0, dtype=np.float64, where=where)
        mean = total / np.maximum(1, np.sum(np.broadcast_to(where, slab.shape), axis=0))
        made = np.rint(mean) if slab.dtype.kind == "i" else mean
    elif how == "maximum":
        made = slab.max(axis=0, where=where, initial=_limits(slab).min)
    else:
        made = slab.min(axis=0, where=where, initial=_limits(slab).max)
    return np.asarray(made if padding is None else np.where(padding.all(axis=0), slab[0], made))


def _limits(slab: NDArray[Any]) -> Any:
    return np.iinfo(slab.dtype) if slab.dtype.kind == "i" else np.finfo(slab.dtype)
