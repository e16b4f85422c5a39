"""A stored segmentation as masks over the image frames that it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import highdicom
import numpy as np
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imaging.errors import InvalidDicom
from imaging.render.functional_groups import functional_group, numbers
from reporting_svc.image_plane import ImagePlane
from reporting_svc.plain_text import clean_text

_FALLBACK_COLOURS = ((230, 85, 70), (70, 150, 225), (240, 180, 60), (110, 190, 120), (180, 110, 210), (90, 200, 200))


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a segmentation (PS3.3 C.8.20.2)."""

    number: int
    """Counts from 1."""

    label: str
    colour: tuple[int, int, int]
    """RGB."""


class SegmentationOverlay:
    """The segments of one instance, and where each of them is on a frame.

    Frames are decoded when they are asked for: a segmentation of a chest has a thousand.
    """

    def __init__(self, content: bytes) -> None:
        """Read the Part 10 bytes of a segmentation.

        Raises
        ------
        InvalidDicom
            If they are not a segmentation that can be read.
        """
        try:
            self._segmentation: Any = highdicom.seg.segread(BytesIO(content), lazy_frame_retrieval=True)
            self.segments: Mapping[int, Segment] = {
                int(item.SegmentNumber): _segment(item) for item in self._segmentation.SegmentSequence
            }
        except Exception as error:  # foreign content: whatever the library raises, it is not readable
            raise InvalidDicom(
                "The segmentation cannot be read", hint="Run the analysis again, or check what stored it."
            ) from error

    def masks(self, header: Dataset, frame_number: int) -> dict[int, NDArray[np.bool_]]:
        """Mask of shape (rows, columns) by segment number, for those segments that are on the frame.

        The frame is found by its SOP Instance UID, else by its place: equal orientation and position.

        Parameters
        ----------
        header
            Of the image instance.
        frame_number
            Counts from 1.
        """
        rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
        if (int(self._segmentation.Rows), int(self._segmentation.Columns)) != (rows, columns):
            return {}
        plane, directions = ImagePlane.of(header, frame_number), self._directions()
        if plane is not None and directions is not None and not plane.same_direction(directions):
            return {}
        stack = self._by_source(header, frame_number)
        if stack is None:
            return {} if plane is None else self._by_position(plane)
        found = {number: stack[..., place] > 0 for place, number in enumerate(sorted(self.segments))}
        return {number: mask for number, mask in found.items() if mask.any()}

    def _by_source(self, header: Dataset, frame_number: int) -> NDArray[Any] | None:
        """Shape (rows, columns, segments), or None where the segmentation does not name the frame as its source."""
        options = {"ignore_spatial_locations": True, "assert_missing_frames_are_empty": True, "dtype": np.uint8}
        numbers = sorted(self.segments)
        uid = str(header.SOPInstanceUID)
        try:
            if int(header.get("NumberOfFrames") or 1) > 1:
                stack = self._segmentation.get_pixels_by_source_frame(uid, [frame_number], numbers, **options)
            else:
                stack = self._segmentation.get_pixels_by_source_instance([uid], numbers, **options)
        except (KeyError, ValueError, RuntimeError, AttributeError):
            return None
        return np.asarray(stack[0])

    def _by_position(self, plane: ImagePlane) -> dict[int, NDArray[np.bool_]]:
        masks: dict[int, NDArray[np.bool_]] = {}
        for index, groups in enumerate(self._segmentation.PerFrameFunctionalGroupsSequence):
            position = numbers((groups.get("PlanePositionSequence") or [groups])[0], "ImagePositionPatient")
            if position is None or len(position) != 3 or not plane.same_place(np.asarray(position)):
                continue
            number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            mask = np.asarray(self._segmentation.get_stored_frame(index + 1)) > 0
            if mask.any():
                masks[number] = masks[number] | mask if number in masks else mask
        return masks

    def _directions(self) -> NDArray[np.float64] | None:
        """ImageOrientationPatient of the segmentation, six numbers."""
        item = functional_group(self._segmentation, 1, "PlaneOrientationSequence")
        directions = numbers(item, "ImageOrientationPatient")
        return np.asarray(directions) if directions is not None and len(directions) == 6 else None


def _segment(item: Dataset) -> Segment:
    number = int(item.SegmentNumber)
    colour = _FALLBACK_COLOURS[(number - 1) % len(_FALLBACK_COLOURS)]
    value = item.get("RecommendedDisplayCIELabValue")
    if value is not None and len(value) == 3:
        red, green, blue = CIELabColor.from_dicom_value(tuple(int(each) for each in value)).to_rgb()
        colour = (int(red), int(green), int(blue))
    return Segment(number, clean_text(item.get("SegmentLabel", ""), 40) or f"Segment {number}", colour)
