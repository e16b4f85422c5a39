"""Masks as a DICOM Segmentation (PS3.3 A.51)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from analysis_svc.measurement import Mask
from analysis_svc.segmentation_source import segmentation_source
from imaging.derived.deterministic import make_deterministic
from imaging.derived.equipment import product_equipment
from imaging.dicom.uid import derived_uid
from imaging.errors import FailedPrecondition, InvalidArgument
from imaging.volume.volume import Volume

_FIRST_SERIES_NUMBER: Final = 9000
"""Series numbers are a display order (0020,0011) only; those of scanners are lower."""


@dataclass(frozen=True, slots=True)
class SegmentationMaker:
    """Who made the masks, and of what."""

    model: str
    """(0062,0009) Segmentation Algorithm Name."""

    model_version: str
    uid_parts: tuple[str, ...]
    """Digest of the input, model, version, parameters: the same parts give the same UIDs."""

    effective_time: datetime
    """The request's time, with its zone."""

    @property
    def sop_instance_uid(self) -> str:
        """Of the segmentation."""
        return derived_uid("segmentation", *self.uid_parts)

    @property
    def series_instance_uid(self) -> str:
        """Of the series that holds nothing but the segmentation."""
        return derived_uid("segmentation series", *self.uid_parts)

    def tracking_uid(self, tracking_identifier: str) -> str:
        """Of the segment and the findings about the same thing."""
        return derived_uid("tracking", *self.uid_parts, tracking_identifier)


def segment_numbers(masks: Sequence[Mask]) -> dict[str, int]:
    """Segment number, counted from 1, by label of those masks that have a voxel.

    Raises
    ------
    InvalidArgument
        If two masks have the same label, or a label is empty or longer than 64 characters.
    """
    labels = [mask.label for mask in masks]
    if len(set(labels)) != len(labels) or not all(0 < len(label) <= 64 for label in labels):
        raise InvalidArgument(
            "The masks of a model need different labels of 1 to 64 characters", where="Mask.label", hint="Correct it."
        )
    filled = [mask.label for mask in masks if mask.voxels.any()]
    return {label: number for number, label in enumerate(filled, start=1)}


def segmentation(
    masks: Sequence[Mask], volume: Volume, headers: Sequence[Dataset], maker: SegmentationMaker
) -> Dataset | None:
    """One BINARY segmentation of all masks, frames without content left out; None if no mask has a voxel.

    Its frames have the place, and reference the frames, of the images that the volume was made of. The same input
    gives the same data set.

    Parameters
    ----------
    masks
        Each of the volume's shape.
    volume
        That was analysed.
    headers
        Of the instances of the volume, in any order; pixel data is not needed.
    maker
        Who made the masks.

    Raises
    ------
    InvalidArgument
        If a mask has another shape, or labels are not usable.
    FailedPrecondition
        If the source images cannot be referenced: several multi-frame instances, or headers without what a
        segmentation takes over from them.
    """
    numbers = segment_numbers(masks)
    for mask in masks:
        if mask.voxels.shape != volume.voxels.shape:
            raise InvalidArgument(
                f"The mask {mask.label!r} has the shape {mask.voxels.shape}, not that of the volume,"
                f" {volume.voxels.shape}",
                where="Mask.voxels",
                hint="A model must give masks on the grid of its input.",
            )
    if not numbers:
        return None
    filled = [mask for mask in masks if mask.label in numbers]
    usable = {str(header.SOPInstanceUID): segmentation_source(header, volume) for header in headers}
    sources, pixels = _sources_and_pixels(filled, volume, usable)
    try:
        dataset = _made(filled, sources, pixels, maker)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FailedPrecondition(
            f"The source images lack what a segmentation takes over from them ({type(error).__name__})",
            where=f"series {volume.series_instance_uid}",
            hint="Correct the sender: study, series, instance and image plane must be complete.",
        ) from error
    return make_deterministic(dataset, ("segmentation", *maker.uid_parts), maker.effective_time)


def _sources_and_pixels(
    masks: Sequence[Mask], volume: Volume, headers: Mapping[str, Dataset]
) -> tuple[list[Dataset], NDArray[np.uint8] | NDArray[np.uint16]]:
    """Source images, and what `_pixels` makes of the masks, which corresponds to them frame by frame."""
    multi_frame = [header for header in headers.values() if int(header.get("NumberOfFrames", 1) or 1) > 1]
    if multi_frame and len(headers) > 1:
        raise FailedPrecondition(
            f"A segmentation can reference one multi-frame instance, and the series has {len(headers)} instances",
            where=f"series {volume.series_instance_uid}",
            hint="Analyse the multi-frame instances one by one.",
        )
    if multi_frame:
        # Frames of the file that are not in the volume stay empty; the others go where the file has them.
        places = {frame.frame_number - 1: index for index, frame in enumerate(volume.frames)}
        return multi_frame, _pixels(masks, places, int(multi_frame[0].NumberOfFrames))
    # Only slices with content: a lesion in a chest of 800 slices needs a dozen.
    used = np.flatnonzero(np.logical_or.reduce([mask.voxels.any(axis=(1, 2)) for mask in masks]))
    sources = [headers[volume.frames[index].sop_instance_uid] for index in used]
    return sources, _pixels(masks, dict(enumerate(used.tolist())), len(used))


def _pixels(
    masks: Sequence[Mask], places: Mapping[int, int], frame_count: int
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Segment numbers, shape (frames, rows, columns); of masks that overlap 0 and 1, (frames, rows, columns, segments).

    Highdicom takes either; it would sum up the second in eight bytes a voxel to see that nothing overlaps.

    Parameters
    ----------
    places
        Slice of the masks by frame.
    """
    shape = (frame_count, *masks[0].voxels.shape[1:])
    labels = np.zeros(shape, dtype=np.uint8 if len(masks) < 256 else np.uint16)
    for number, mask in enumerate(masks, start=1):
        for frame, index in places.items():
            plane, inside = labels[frame], mask.voxels[index]
            if plane[inside].any():
                return _stack(masks, places, frame_count)
            plane[inside] = number
    return labels


def _stack(masks: Sequence[Mask], places: Mapping[int, int], frame_count: int) -> NDArray[np.uint8]:
    stack = np.zeros((frame_count, *masks[0].voxels.shape[1:], len(masks)), dtype=np.uint8)
    for segment, mask in enumerate(masks):
        for frame, index in places.items():
            stack[frame, :, :, segment] = mask.voxels[index]
    return stack


def _made(masks: Sequence[Mask], sources: list[Dataset], pixels: NDArray[Any], maker: SegmentationMaker) -> Dataset:
    equipment = product_equipment()
    descriptions = [_described(number, mask, maker) for number, mask in enumerate(masks, start=1)]
    dataset: Dataset = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=maker.series_instance_uid,
        # The same model gets the same place in every study.
        series_number=_FIRST_SERIES_NUMBER + zlib.crc32(maker.model.encode()) % 900,
        sop_instance_uid=maker.sop_instance_uid,
        instance_number=1,
        manufacturer=equipment.manufacturer,
        manufacturer_model_name=equipment.model_name,
        software_versions=equipment.software_version,
        device_serial_number=equipment.device_serial_number,
        content_description=f"Segmentation by {maker.model} {maker.model_version}"[:64],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        series_description=f"{maker.model} {maker.model_version}"[:64],
    )
    return dataset


def _described(number: int, mask: Mask, maker: SegmentationMaker) -> Any:
    tracking_identifier = mask.tracking_identifier or mask.label
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=mask.label,
        segmented_property_category=mask.category,
        segmented_property_type=mask.type,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=maker.model, version=maker.model_version, family=codes.DCM.MorphologicalOperations
        ),
        tracking_uid=maker.tracking_uid(tracking_identifier),
        tracking_id=tracking_identifier,
        anatomic_regions=None if mask.site is None else [mask.site],
        display_color=highdicom.color.CIELabColor.from_rgb(*mask.colour),
    )
