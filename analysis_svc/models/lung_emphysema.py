"""Lung volume and the density measures of emphysema."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.anatomy.lung_mask import Lungs
from analysis_svc.anatomy.patient_axes import PatientAxes
from analysis_svc.anatomy.shared_masks import shared_body_mask, shared_lung_mask
from analysis_svc.measurement import Analysis, Mask, Measurement, QualityFlag, histogram_chart
from analysis_svc.model import ModelParameters, Report
from analysis_svc.models.ct_input import (
    RESEARCH_USE,
    contrast_flags,
    derived_flags,
    hounsfield_values,
    require_ct_of_people,
    slice_thickness_mm,
)
from analysis_svc.models.sharp_kernel import Sharpness, kernel_sharpness
from imaging.errors import MeasurementRefused
from imaging.volume.volume import SourceFrame, Volume

_STEPS: Final = 3
_EMPHYSEMA_HU: Final = -950.0
_THIN_MM: Final = 1.5
_CUT_PART: Final = 0.05
_INCOMPLETE_PART: Final = 0.5
_EDGES_HU: Final = np.arange(-1024.0, -480.0, 16.0)

_RIGHT_COLOUR: Final = (90, 160, 220)
_LEFT_COLOUR: Final = (110, 200, 150)
_EMPHYSEMA_COLOUR: Final = (230, 80, 60)


class LungEmphysema:
    """LAA-950 (the part of the lungs under -950 HU), Perc15 and mean density, with the volumes of the lungs.

    -950 HU: Gevenois et al., AJRCCM 152, 653 (1995) and 154, 187 (1996), against pathology, with 1 mm sections.
    Perc15: Dirksen et al., AJRCCM 160, 1468 (1999). Section thickness and kernel change both (Madani et al.,
    Radiology 243, 250, 2007; Boedeker et al., Acad Radiol 11, 767, 2004), hence the limits.
    """

    name = "lung-emphysema"
    version = "1.0"
    description = "CT of the chest: lung volumes, LAA-950, 15th percentile and mean of lung density."
    modalities = ("CT",)
    requires: Literal["volume"] = "volume"

    class Parameters(ModelParameters):
        """Limits of the method."""

        max_slice_thickness_mm: float = Field(default=3.0, gt=0.0, le=10.0)
        """Thicker or wider spaced slices average emphysema away. Screening CT, for which the measures were shown to
        hold, has up to 2.5 mm."""

        min_lung_volume_ml: float = Field(default=1000.0, gt=0.0)
        """With less, it is not the chest of an adult, or only a part of it."""

        allow_sharp_kernel: bool = False
        """Measure although the kernel is sharp; the numbers then cannot be compared with others."""

    def analyze(self, volume: Volume, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        require_ct_of_people(volume, self.name)
        flags = [RESEARCH_USE, *self._acquisition(volume, parameters)]
        axes = PatientAxes.of(volume)
        voxels = axes.turn(hounsfield_values(volume))
        report(0, _STEPS, "steps", "finding the body")
        body = shared_body_mask(voxels, axes.spacing_mm)
        report(1, _STEPS, "steps", "finding the lungs")
        lungs = shared_lung_mask(voxels, body, axes.spacing_mm)
        report(2, _STEPS, "steps", "measuring")
        flags += self._lungs(lungs, volume, parameters)
        answer = self._measured(volume, axes, voxels, lungs, tuple(flags))
        report(_STEPS, _STEPS, "steps", "measured")
        return answer

    def _acquisition(self, volume: Volume, parameters: Parameters) -> list[QualityFlag]:
        flags = list(contrast_flags(volume, "lung density is higher, so that emphysema is underestimated"))
        flags += derived_flags(volume)
        thickness = slice_thickness_mm(volume)
        if thickness > parameters.max_slice_thickness_mm + 0.01:
            raise self._refused(
                "THICK_SLICES",
                f"The slices are {thickness:.2f} mm thick or apart; the limit is"
                f" {parameters.max_slice_thickness_mm:g} mm",
                "Take the series with thin slices; max_slice_thickness_mm sets the limit.",
            )
        if thickness > _THIN_MM:
            flags.append(
                QualityFlag(
                    "SLICES_NOT_THIN",
                    f"The slices are {thickness:.2f} mm thick or apart; the method was validated with 1 mm.",
                )
            )
        kernel = volume.attributes.get("ConvolutionKernel", "")
        sharpness = kernel_sharpness(kernel)
        if sharpness is Sharpness.SHARP and not parameters.allow_sharp_kernel:
            raise self._refused(
                "SHARP_KERNEL",
                f"The kernel {kernel!r} is sharp: its noise puts healthy lung under -950 HU",
                "Take the reconstruction with a soft or standard kernel, or set allow_sharp_kernel.",
            )
        if sharpness is Sharpness.SHARP:
            flags.append(QualityFlag("SHARP_KERNEL", f"The kernel {kernel!r} is sharp: emphysema is overestimated."))
        if sharpness is Sharpness.UNKNOWN:
            told = f"The kernel {kernel!r} is not known" if kernel else "The series does not tell its kernel"
            flags.append(QualityFlag("KERNEL_UNKNOWN", f"{told}; a sharp one would overestimate emphysema."))
        return flags

    def _lungs(self, lungs: Lungs, volume: Volume, parameters: Parameters) -> list[QualityFlag]:
        both = lungs.both
        millilitres = float(both.sum()) * volume.voxel_volume_mm3 / 1000
        if millilitres == 0:
            raise self._refused(
                "NO_LUNG", "Nothing in the series looks like a lung", "Take a series that shows the whole chest."
            )
        areas = both.sum(axis=(1, 2))
        cut = max(areas[0], areas[-1]) / areas.max()
        if millilitres < parameters.min_lung_volume_ml or cut > _INCOMPLETE_PART:
            raise self._refused(
                "LUNG_INCOMPLETE",
                f"The series shows {millilitres:.0f} mL of lung, and the first or last slice {100 * cut:.0f} % of the"
                f" largest section; at least {parameters.min_lung_volume_ml:g} mL and at most"
                f" {100 * _INCOMPLETE_PART:.0f} % are asked for",
                "Take a series that shows the whole chest; min_lung_volume_ml sets the limit.",
            )
        flags = []
        if cut > _CUT_PART:
            flags.append(
                QualityFlag("LUNG_TRUNCATED", f"The lungs go past the series: {100 * cut:.0f} % of a section is cut.")
            )
        if not lungs.left.any() or not lungs.right.any():
            flags.append(QualityFlag("ONE_LUNG", "Only one lung was found; volumes are of that one."))
        elif lungs.touching:
            flags.append(QualityFlag("LUNGS_TOUCH", "The lungs touch; the border between right and left is estimated."))
        return flags

    def _measured(
        self,
        volume: Volume,
        axes: PatientAxes,
        voxels: NDArray[Any],
        lungs: Lungs,
        flags: tuple[QualityFlag, ...],
    ) -> Analysis:
        both = lungs.both
        values = voxels[both].astype(np.float32)
        emphysema = both & (voxels < _EMPHYSEMA_HU)
        frames = _widest_frame(volume, axes.turn_back(both))
        counts, edges = np.histogram(np.clip(values, _EDGES_HU[0], _EDGES_HU[-1]), bins=_EDGES_HU)
        chart = histogram_chart(edges, counts, "[hnsf'U]", "Density of the lungs", {"-950 HU": _EMPHYSEMA_HU})
        millilitres = volume.voxel_volume_mm3 / 1000

        def of(
            tracking: str, concept: Code, value: float, unit: Code, *, site: Code, segment: str = "", **more: Any
        ) -> Measurement:
            return Measurement(
                concept=concept,
                value=value,
                unit=unit,
                site=site,
                finding_type=concepts.LUNG,
                tracking_identifier=tracking,
                frames=frames,
                segment_label=segment,
                quality_flags=flags,
                **more,
            )

        measurements = [
            of("Lungs", concepts.VOLUME, float(both.sum()) * millilitres, concepts.MILLILITRE, site=concepts.LUNG),
            of(
                "Lungs",
                concepts.LAA_950,
                100 * float(emphysema.sum()) / len(values),
                concepts.PERCENT,
                site=concepts.LUNG,
                chart=chart,
            ),
            of("Lungs", concepts.PERC15, _percentile_15(values), concepts.HOUNSFIELD, site=concepts.LUNG),
            of(
                "Lungs",
                concepts.ATTENUATION,
                float(values.mean(dtype=np.float64)),
                concepts.HOUNSFIELD,
                site=concepts.LUNG,
                derivation=concepts.MEAN,
            ),
        ]
        masks = []
        for label, mask, site, colour in (
            ("Right lung", lungs.right, concepts.RIGHT_LUNG, _RIGHT_COLOUR),
            ("Left lung", lungs.left, concepts.LEFT_LUNG, _LEFT_COLOUR),
        ):
            size = float(mask.sum())
            if not size:
                continue
            below = 100 * float((emphysema & mask).sum()) / size
            measurements += [
                of(label, concepts.VOLUME, size * millilitres, concepts.MILLILITRE, site=site, segment=label),
                of(label, concepts.LAA_950, below, concepts.PERCENT, site=site, segment=label),
            ]
            masks.append(
                Mask(label, axes.turn_back(mask), concepts.ANATOMICAL_STRUCTURE, concepts.LUNG, site, colour, label)
            )
        if emphysema.any():
            masks.append(
                Mask(
                    "Low attenuation area",
                    axes.turn_back(emphysema),
                    concepts.ABNORMAL_STRUCTURE,
                    concepts.EMPHYSEMA,
                    concepts.LUNG,
                    _EMPHYSEMA_COLOUR,
                    "Low attenuation area",
                )
            )
        return Analysis(tuple(measurements), tuple(masks))

    def _refused(self, rule: str, what: str, hint: str) -> MeasurementRefused:
        return MeasurementRefused(what, where=self.name, hint=hint, metadata={"rule": rule})


def _percentile_15(values: NDArray[np.float32]) -> float:
    """The 15th percentile; whole numbers are taken as the middle of their bin, so that no step of 1 HU is left.

    A CT stores whole Hounsfield units: the plain percentile of millions of voxels would be a whole number too.
    """
    low = float(values.min())
    if not np.array_equal(values[:1000], np.rint(values[:1000])):
        return float(np.percentile(values, 15))
    counts = np.bincount(np.rint(values - low).astype(np.int64))
    cumulated = np.cumsum(counts)
    wanted = 0.15 * len(values)
    place = int(np.searchsorted(cumulated, wanted))
    before = float(cumulated[place - 1]) if place else 0.0
    return low + place - 0.5 + (wanted - before) / float(counts[place])


def _widest_frame(volume: Volume, lungs: NDArray[np.bool_]) -> tuple[SourceFrame, ...]:
    """The frame with the largest section of the lungs."""
    return (volume.frames[int(lungs.sum(axis=(1, 2)).argmax())],)
