"""Radiomic features of the regions that somebody has drawn on a series."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.measurement import Analysis, Measurement, QualityFlag, Refusal
from analysis_svc.model import ModelParameters, Report
from analysis_svc.models.ct_input import HOUNSFIELD_UNIT
from analysis_svc.radiomics.feature import Feature, UnitKind
from analysis_svc.radiomics.intensity_histogram import fixed_bin_number, intensity_histogram
from analysis_svc.radiomics.intensity_statistics import intensity_statistics
from analysis_svc.radiomics.morphology import morphology
from analysis_svc.regions.each_region import measure_each, require_regions
from analysis_svc.regions.imaged_region import not_imaged
from analysis_svc.regions.region import Region, SegmentedVolume
from imaging.volume.volume import Volume

_FEW_VOXELS: Final = 64
_RESEARCH_USE: Final = QualityFlag(
    "RESEARCH_USE",
    "For research; by the IBSI definitions, without interpolation and without range limits: comparable only between"
    " images of equal voxels and acquisition.",
)


class Radiomics:
    """Morphology, intensity statistics and intensity histogram of each region (Zwanenburg et al.: Radiology 295, 328,
    2020; definitions: arXiv:1612.07003).

    Values are taken as they are, without interpolation, resegmentation or aggregation. docs/radiomics.md tells how the
    features compare with the consensus on the digital phantom.
    """

    name = "radiomics"
    version = "1.0"
    description = "Segmented regions of any volume: size, shape and distribution of values by the IBSI definitions."
    modalities = ()
    requires: Literal["regions"] = "regions"

    class Parameters(ModelParameters):
        """What to measure, of how many regions."""

        families: tuple[Literal["morphology", "intensity", "histogram"], ...] = ("morphology", "intensity")
        bins: int = Field(default=32, ge=2, le=1024)
        """Levels of the histogram: a fixed number between the least and the largest value (IBSI K15C)."""

        max_regions: int = Field(default=50, ge=1, le=500)

    def analyze(self, segmented: SegmentedVolume, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        require_regions(segmented, self.name)
        measurements, refusals = measure_each(
            segmented,
            self.name,
            parameters.max_regions,
            lambda region: _measured(region, segmented.volume, parameters),
            report,
        )
        return Analysis(tuple(measurements), refusals=tuple(refusals))


def _measured(region: Region, volume: Volume, parameters: Radiomics.Parameters) -> list[Measurement] | Refusal:
    voxels = volume.voxels[region.box]
    values = voxels[region.mask]
    if refusal := not_imaged(region, volume):
        return refusal
    features: list[Feature] = []
    if "morphology" in parameters.families:
        # The centre of mass needs a scale with a true zero too.
        has_mass = volume.units != HOUNSFIELD_UNIT
        features += morphology(region.mask, voxels if has_mass else None, volume.spacing_mm)
    if "intensity" in parameters.families:
        features += intensity_statistics(values, has_true_zero=volume.units != HOUNSFIELD_UNIT)
    if "histogram" in parameters.families:
        features += intensity_histogram(fixed_bin_number(values, parameters.bins), parameters.bins)
    flags = [_RESEARCH_USE]
    if region.voxel_count < _FEW_VOXELS:
        flags.append(QualityFlag("FEW_VOXELS", f"The region has {region.voxel_count} voxels: its shape is uncertain."))
    return [
        Measurement(
            concept=feature.concept,
            value=feature.value,
            unit=_unit(feature.unit, volume.units),
            site=region.site,
            finding_type=region.finding_type,
            tracking_identifier=region.label,
            frames=(volume.frames[region.widest_slice],),
            segment=region.segment,
            quality_flags=tuple(flags),
        )
        for feature in features
    ]


def _unit(kind: UnitKind, units: str) -> Code:
    """The UCUM unit of a feature of values that have a unit."""
    if kind.startswith("intensity"):
        told = "" if units == "1" else f"({units})" if "/" in units else units
        if kind == "intensity volume":
            return Code(f"{told}.mm3".lstrip("."), "UCUM", "intensity by volume")
        if not told:
            return concepts.NO_UNIT
        if kind == "intensity squared":
            return Code(f"{told}2", "UCUM", "squared intensity")
        return concepts.HOUNSFIELD if units == HOUNSFIELD_UNIT else Code(units, "UCUM", units)
    return {
        "mm": concepts.MILLIMETRE,
        "mm2": concepts.SQUARE_MILLIMETRE,
        "mm3": concepts.CUBIC_MILLIMETRE,
        "1/mm": concepts.PER_MILLIMETRE,
    }.get(kind, concepts.NO_UNIT)
