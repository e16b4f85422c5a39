"""Which segmentations and structure sets of a study belong to a series, and their regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset

from analysis_svc.measurement import Refusal
from analysis_svc.regions import segmentation_regions, structure_set_regions
from analysis_svc.regions.region import Region, SegmentedVolume
from analysis_svc.regions.segmentation_regions import SegmentationRegions
from imaging.client.headers import InstanceHeader
from imaging.client.storage import Selection, StorageClient
from imaging.dicom.header_value import items, text
from imaging.errors import InvalidDicom
from imaging.storage.v1 import storage_pb2
from imaging.volume.volume import Volume

_MODALITIES: Final = ("SEG", "RTSTRUCT")
_SOP_CLASSES: Final = (*segmentation_regions.SOP_CLASSES, structure_set_regions.SOP_CLASS)


async def find_region_sources(storage: StorageClient, series: str, origin: storage_pb2.Origin) -> list[InstanceHeader]:
    """Headers of the segmentations and structure sets that are drawn on a series, in the order of their UIDs.

    They belong to the series that they name. One that names no series of the study (images get new UIDs when they are
    cropped or de-identified) belongs to every series of its frame of reference, which `read_regions` looks at.
    Received ones, and those that earlier stages of the same run have made; results of other runs never count.

    Parameters
    ----------
    series
        `studies/{uid}/series/{uid}`.
    origin
        Of what the request stores. What its own stage has stored before it was interrupted does not count.
    """
    study, _, series_uid = series.rpartition("/series/")
    found: list[InstanceHeader] = []
    others = [other async for other in storage.search_series(study)]
    there = {other.series_instance_uid for other in others}
    for other in others:
        if other.modality in _MODALITIES:
            headers = await storage.read_headers(other.name)
            found += [header for header in headers if _belongs(header, series_uid, there, origin)]
    return sorted(found, key=lambda header: header.instance.sop_instance_uid)


async def read_regions(storage: StorageClient, sources: Sequence[InstanceHeader], volume: Volume) -> SegmentedVolume:
    """The volume with the regions of all sources, each with a label of its own."""
    regions: list[Region] = []
    refusals: list[Refusal] = []
    for source in sources:
        uid = source.instance.sop_instance_uid
        if _is_elsewhere(source.dataset, volume):
            refusals.append(
                Refusal(
                    f"regions of {uid}",
                    "OTHER_FRAME_OF_REFERENCE",
                    "It is drawn in another frame of reference than the images have",
                    "Draw it on the images that are measured.",
                )
            )
            continue
        try:
            found, refused = await _regions(storage, source, volume)
        except InvalidDicom as error:
            found, refused = [], [Refusal(f"regions of {uid}", error.reason, error.what, error.hint)]
        regions += found
        refusals += refused
    return SegmentedVolume(volume, tuple(_with_own_labels(regions)), tuple(refusals))


async def _regions(
    storage: StorageClient, source: InstanceHeader, volume: Volume
) -> tuple[list[Region], list[Refusal]]:
    if source.instance.sop_class_uid == structure_set_regions.SOP_CLASS:
        return structure_set_regions.structure_set_regions(source.dataset, volume)
    gathered = SegmentationRegions(source.dataset, volume)
    frames = storage.read_frames(selections=[Selection(instance=source.instance.name)])
    try:
        async for frame in frames:
            gathered.add(frame.frame_number, frame.pixels)
    finally:
        await frames.aclose()
    return gathered.regions()


def _belongs(header: InstanceHeader, series_uid: str, there: set[str], own: storage_pb2.Origin) -> bool:
    origin = header.instance.origin
    if header.instance.sop_class_uid not in _SOP_CLASSES:
        return False
    if origin.kind == storage_pb2.Origin.KIND_DERIVED and (origin.run != own.run or origin.stage == own.stage):
        return False
    named = _named_series(header.dataset) & there
    return series_uid in named or (not named and bool(_frames_of_reference(header.dataset)))


def _named_series(dataset: Dataset) -> set[str]:
    """UIDs of the series that a segmentation or structure set says it is drawn on."""
    named = {text(item, "SeriesInstanceUID") for item in items(dataset, "ReferencedSeriesSequence")}
    for frame_of_reference in items(dataset, "ReferencedFrameOfReferenceSequence"):
        for study in items(frame_of_reference, "RTReferencedStudySequence"):
            named |= {text(item, "SeriesInstanceUID") for item in items(study, "RTReferencedSeriesSequence")}
    return named


def _is_elsewhere(dataset: Dataset, volume: Volume) -> bool:
    named = _frames_of_reference(dataset)
    return bool(named) and bool(volume.frame_of_reference_uid) and volume.frame_of_reference_uid not in named


def _frames_of_reference(dataset: Dataset) -> set[str]:
    named = {text(item, "FrameOfReferenceUID") for item in items(dataset, "ReferencedFrameOfReferenceSequence")}
    return (named | {text(dataset, "FrameOfReferenceUID")}) - {""}


def _with_own_labels(regions: Sequence[Region]) -> list[Region]:
    counts: Counter[str] = Counter()
    named = []
    for region in regions:
        counts[region.label] += 1
        number = counts[region.label]
        named.append(region if number == 1 else replace(region, label=f"{region.label[:56]} ({number})"))
    return named
