"""Long and short axes of the regions that somebody has drawn on a series."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydicom.sr.coding import Code

from analysis_svc import concepts
from analysis_svc.measurement import Analysis, Measurement, QualityFlag
from analysis_svc.model import ModelParameters, Report
from analysis_svc.models.recist_axes import recist_axes
from analysis_svc.regions.each_region import measure_each, require_regions
from analysis_svc.regions.region import Region, SegmentedVolume
from imaging.volume.volume import Volume

_SMALLEST_MM: Final = 10.0
"""RECIST 1.1 measures no lesion on CT and MR whose longest diameter is less, or less than two slices."""

_RESEARCH_USE: Final = QualityFlag(
    "RESEARCH_USE",
    "For research; in the plane of the slices, along the outline as it was drawn, to one voxel.",
)


class RegionAxes:
    """The axes of RECIST 1.1 of each region, in the slice in which it is longest, with the lines of both.

    Source: Eisenhauer et al.: Eur J Cancer 45, 228, 2009. Which regions are target lesions is a reader's decision.
    """

    name = "region-axes"
    version = "1.0"
    description = "Segmented regions of any volume: long and short axis in the plane of the slices."
    modalities = ()
    requires: Literal["regions"] = "regions"

    class Parameters(ModelParameters):
        """How many regions to measure."""

        max_regions: int = Field(default=50, ge=1, le=500)

    def analyze(self, segmented: SegmentedVolume, parameters: Parameters, report: Report) -> Analysis:
        """See `analysis_svc.model.Model`."""
        require_regions(segmented, self.name)
        measurements, refusals = measure_each(
            segmented, self.name, parameters.max_regions, lambda region: _measured(region, segmented.volume), report
        )
        return Analysis(tuple(measurements), refusals=tuple(refusals))


def _measured(region: Region, volume: Volume) -> list[Measurement]:
    axes = recist_axes(region.mask, range(region.mask.shape[0]), volume.spacing_mm)
    if axes is None:  # a region has a voxel, and a voxel an outline
        return []
    start = np.array([part.start for part in region.box], dtype=np.float64)
    slice_index = int(region.box[0].start + axes.long_ends[0, 0])
    flags = [_RESEARCH_USE]
    smallest = max(_SMALLEST_MM, 2 * volume.spacing_mm[0])
    if axes.long_mm < smallest:
        flags.append(
            QualityFlag("TOO_SMALL", f"RECIST 1.1 takes nothing shorter than {smallest:.3g} mm here as measurable.")
        )

    def of(concept: Code, value: float, ends: NDArray[Any]) -> Measurement:
        return Measurement(
            concept=concept,
            value=value,
            unit=concepts.MILLIMETRE,
            site=region.site,
            finding_type=region.finding_type,
            tracking_identifier=region.label,
            frames=(volume.frames[slice_index],),
            segment=region.segment,
            line_mm=tuple(float(each) for each in volume.to_patient_mm(ends + start).ravel()),
            quality_flags=tuple(flags),
        )

    return [
        of(concepts.LONG_AXIS, axes.long_mm, axes.long_ends),
        of(concepts.SHORT_AXIS, axes.short_mm, axes.short_ends),
    ]
