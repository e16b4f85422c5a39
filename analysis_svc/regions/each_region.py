"""Measuring the regions of a series one by one: what all models of regions do around it."""

from __future__ import annotations

from collections.abc import Callable

from analysis_svc.measurement import Measurement, Refusal
from analysis_svc.model import Report
from analysis_svc.regions.region import Region, SegmentedVolume
from imaging.errors import MeasurementRefused


def require_regions(segmented: SegmentedVolume, model: str) -> None:
    """Pass if there is a region, or a reason why there is none.

    Raises
    ------
    MeasurementRefused
        `NO_REGION`.
    """
    if not segmented.regions and not segmented.refusals:
        raise MeasurementRefused(
            "The study holds no segmentation and no structure set that is drawn on the series",
            where=model,
            hint="Send one, or let an earlier stage of the recipe make one.",
            metadata={"rule": "NO_REGION"},
        )


def measure_each(
    segmented: SegmentedVolume,
    model: str,
    max_regions: int,
    measure: Callable[[Region], list[Measurement] | Refusal],
    report: Report,
) -> tuple[list[Measurement], list[Refusal]]:
    """The measurements of the first `max_regions` regions, and what was refused, also what could not be read."""
    measurements: list[Measurement] = []
    refusals = list(segmented.refusals)
    told = segmented.regions[:max_regions]
    for number, region in enumerate(told):
        report(number, len(told), "regions", "measuring")
        answer = measure(region)
        if isinstance(answer, Refusal):
            refusals.append(answer)
        else:
            measurements += answer
    if more := len(segmented.regions) - len(told):
        refusals.append(Refusal(model, "MORE_REGIONS", f"{more} more regions were not measured", "Raise max_regions."))
    return measurements, refusals
