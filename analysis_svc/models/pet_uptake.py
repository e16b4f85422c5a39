"""Standardised uptake of PET: of the whole series, and of the regions that somebody has drawn."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.measurement import Analysis, Mask, Measurement, QualityFlag, Refusal
from analysis_svc.model import ModelParameters, Report
from analysis_svc.pet.suv_peak import peak
from analysis_svc.pet.suv_scale import SuvScale, suv_scale
from analysis_svc.regions.each_region import measure_each
from analysis_svc.regions.imaged_region import not_imaged
from analysis_svc.regions.region import Region, SegmentedVolume
from imaging.errors import MeasurementRefused
from imaging.volume.padding import is_padding, padding_value
from imaging.volume.volume import Volume

_LARGEST_VOXEL_MM: Final = 6.2
"""A sphere of 1 mL has this radius; larger voxels do not sample it."""

_RESEARCH_USE: Final = QualityFlag(
    "RESEARCH_USE", "For research; the method was checked on phantoms and not validated clinically."
)


class PetUptake:
    """SUV by body weight: maximum, mean and peak; metabolic volume and total lesion glycolysis of drawn regions.

    SUV by the vendor-neutral way of QIBA (`analysis_svc.pet.suv_scale`); peak over a sphere of 1 mL (Wahl et al.: J
    Nucl Med 50, 122S, 2009); metabolic volume over 41 % of the maximum (Boellaard et al.: Eur J Nucl Med Mol Imaging
    42, 328, 2015) or over a fixed SUV. Nothing is looked for: uptake of brain, heart and bladder is not told from
    disease.
    """

    name = "pet-uptake"
    version = "1.0"
    description = "PET: SUV by body weight of the series; maximum, mean, peak, MTV and TLG of drawn regions."
    modalities = ("PT",)
    requires: Literal["regions"] = "regions"

    class Parameters(ModelParameters):
        """What belongs to the metabolic volume of a region; one of the two."""

        threshold_percent: float | None = Field(default=None, gt=0.0, lt=100.0)
        """Of the maximum of the region; 41 where no threshold is given."""

        threshold_suv: float | None = Field(default=None, gt=0.0)
        """Such as 2.5 or 4.0."""

        max_regions: int = Field(default=50, ge=1, le=500)

        @model_validator(mode="after")
        def _one_threshold(self) -> PetUptake.Parameters:
            if self.threshold_percent is not None and self.threshold_suv is not None:
                raise ValueError("give threshold_percent or threshold_suv, not both")
            return self

    def analyze(self, segmented: SegmentedVolume, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        volume = segmented.volume
        report(0, 0, "regions", "reading the dose")
        scale = suv_scale(segmented.headers)
        if not np.isfinite(volume.voxels).all():
            raise MeasurementRefused(
                "Some voxels hold no finite number",
                where=self.name,
                hint="Correct the sender: slope, intercept or pixels are damaged.",
                metadata={"rule": "NOT_FINITE"},
            )
        flags = (_RESEARCH_USE, QualityFlag("SUV_SCALE", scale.explanation))
        masks: list[Mask] = []

        def measure(region: Region) -> list[Measurement] | Refusal:
            if refusal := not_imaged(region, volume):
                return refusal
            found, own = _region(region, volume, scale, parameters, flags)
            masks.extend(own)
            return found

        measurements, refusals = measure_each(segmented, self.name, parameters.max_regions, measure, report)
        if not segmented.regions and not refusals:
            refusals.append(
                Refusal(
                    "metabolic volume",
                    "NO_REGION",
                    "Nobody has drawn a region on the series: only its maximum is told",
                    "Send a segmentation or a structure set that is drawn on it.",
                )
            )
        measurements.insert(0, _hottest(volume, scale, flags))
        return Analysis(tuple(measurements), tuple(masks), tuple(refusals))


def _hottest(volume: Volume, scale: SuvScale, flags: tuple[QualityFlag, ...]) -> Measurement:
    padded = is_padding(volume.voxels, padding_value(volume))
    place = int((volume.voxels if padded is None else np.where(padded, -np.inf, volume.voxels)).argmax())
    physiological = QualityFlag("PHYSIOLOGICAL_UPTAKE", "The hottest voxel of the series, wherever it is.")
    return Measurement(
        concept=concepts.SUV_BODY_WEIGHT,
        value=float(volume.voxels.flat[place]) * scale.factor,
        unit=concepts.SUV_UNIT,
        finding_type=concepts.IMAGE,
        derivation=concepts.MAXIMUM,
        tracking_identifier="Series",
        frames=(volume.frames[int(np.unravel_index(place, volume.voxels.shape)[0])],),
        quality_flags=(*flags, physiological),
    )


def _region(
    region: Region, volume: Volume, scale: SuvScale, parameters: PetUptake.Parameters, flags: tuple[QualityFlag, ...]
) -> tuple[list[Measurement], list[Mask]]:
    uptake = np.asarray(volume.voxels[region.box], dtype=np.float64) * scale.factor
    values = uptake[region.mask]
    maximum = float(values.max())
    inside = np.where(region.mask, uptake, -np.inf)
    hottest_slice = int(region.box[0].start) + int(np.unravel_index(inside.argmax(), inside.shape)[0])
    if parameters.threshold_suv is not None:
        limit, words = parameters.threshold_suv, f"SUV {parameters.threshold_suv:g} and more"
    else:
        percent = parameters.threshold_percent or 41.0
        limit, words = (
            maximum * percent / 100,
            f"{percent:g} % of the maximum and more (SUV {maximum * percent / 100:.2f})",
        )
    metabolic = region.mask & (uptake >= limit) & (uptake > 0)
    millilitres = float(np.count_nonzero(metabolic)) * volume.voxel_volume_mm3 / 1000

    def of(concept: Code, value: float, unit: Code, derivation: Code | None, *more: QualityFlag) -> Measurement:
        return Measurement(
            concept=concept,
            value=value,
            unit=unit,
            site=region.site,
            finding_type=region.finding_type,
            derivation=derivation,
            tracking_identifier=region.label,
            frames=(volume.frames[hottest_slice],),
            segment=region.segment,
            segment_label="" if region.segment else region.label,
            quality_flags=(*flags, *more),
        )

    found = [
        of(concepts.SUV_BODY_WEIGHT, maximum, concepts.SUV_UNIT, concepts.MAXIMUM),
        of(concepts.SUV_BODY_WEIGHT, float(values.mean()), concepts.SUV_UNIT, concepts.MEAN),
    ]
    if max(volume.spacing_mm) <= _LARGEST_VOXEL_MM:
        padded = is_padding(volume.voxels, padding_value(volume))
        imaged = volume.voxels if padded is None else np.where(padded, np.nan, volume.voxels)
        highest = peak(imaged, region.box, region.mask, volume.spacing_mm)
        if highest is not None:
            found.append(of(concepts.SUV_BODY_WEIGHT, highest * scale.factor, concepts.SUV_UNIT, concepts.PEAK))
    threshold = QualityFlag("THRESHOLD", f"Voxels with {words}.")
    glycolysis = float(uptake[metabolic].mean()) * millilitres if millilitres else 0.0
    found += [
        of(concepts.METABOLIC_VOLUME, millilitres, concepts.MILLILITRE, None, threshold),
        of(concepts.TOTAL_LESION_GLYCOLYSIS, glycolysis, concepts.GRAM, None, threshold),
    ]
    masks = [_mask(f"{region.label[:50]} metabolic", metabolic, region, volume, (250, 200, 40))]
    if region.segment is None:
        # A structure set has no segment that a report could refer to and draw.
        masks.append(_mask(region.label, region.mask, region, volume, (90, 200, 250)))
    return found, masks


def _mask(label: str, mask: NDArray[np.bool_], region: Region, volume: Volume, colour: tuple[int, int, int]) -> Mask:
    voxels = np.zeros(volume.voxels.shape, dtype=np.bool_)
    voxels[region.box] = mask
    return Mask(
        label=label,
        voxels=voxels,
        category=concepts.ABNORMAL_STRUCTURE,
        type=concepts.LESION if region.finding_type == concepts.IMAGE_REGION else region.finding_type,
        site=region.site,
        colour=colour,
        tracking_identifier=region.label,
    )
