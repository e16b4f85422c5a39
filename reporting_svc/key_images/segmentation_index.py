"""Which frames of a stored segmentation lie over which image frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imaging.dicom.background_segment import is_background
from imaging.dicom.header_value import numbers, text
from imaging.errors import InvalidDicom
from imaging.render.functional_groups import functional_group
from reporting_svc.content.plain_text import clean_text
from reporting_svc.key_images.image_plane import ImagePlane

_FALLBACK_COLOURS = ((230, 85, 70), (70, 150, 225), (240, 180, 60), (110, 190, 120), (180, 110, 210), (90, 200, 200))


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a segmentation (PS3.3 C.8.20.2)."""

    number: int
    """Counts from 1."""

    label: str
    colour: tuple[int, int, int]
    """RGB."""


@dataclass(frozen=True, slots=True)
class MaskFrame:
    """The mask of one segment: a frame of the segmentation, or, in a label map, the pixels of one value in it."""

    frame_number: int
    """Counts from 1."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class _Place:
    mask: MaskFrame
    sources: frozenset[tuple[str, int]]
    """SOP Instance UID and frame number (0: none is named) of the images that the frame was made from."""

    position_mm: NDArray[np.float64] | None


class SegmentationIndex:
    """The segments of one segmentation, and the places of its frames."""

    def __init__(self, header: Dataset) -> None:
        """Read the header of a segmentation; its pixels are not needed.

        Raises
        ------
        InvalidDicom
            If it lacks what a segmentation must have.
        """
        try:
            self._is_label_map = text(header, "SegmentationType").upper() == "LABELMAP"
            self.segments: Mapping[int, Segment] = {
                int(item.SegmentNumber): _segment(item)
                for item in header.SegmentSequence
                if not is_background(header, item)
            }
            self._shape = int(header.Rows), int(header.Columns)
            self._places = [
                _place(header, frame_number, segment)
                for frame_number in range(1, len(header.PerFrameFunctionalGroupsSequence) + 1)
                for segment in self._segments_of(header, frame_number)
            ]
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise InvalidDicom(
                f"The segmentation lacks what it must have ({type(error).__name__})",
                hint="Run the analysis again, or check what stored it.",
            ) from error
        directions = numbers(functional_group(header, 1, "PlaneOrientationSequence"), "ImageOrientationPatient")
        self._directions = np.asarray(directions) if directions is not None and len(directions) == 6 else None
        # FRACTIONAL ones hold 0 to this; half of it and more counts as inside (PS3.3 C.8.20.2.3).
        self._threshold = max(1, (int(header.get("MaximumFractionalValue") or 1) + 1) // 2)

    def _segments_of(self, header: Dataset, frame_number: int) -> list[Segment]:
        """A frame is of one segment, or, in a label map, of all."""
        if self._is_label_map:
            return list(self.segments.values())
        identification = functional_group(header, frame_number, "SegmentIdentificationSequence")
        return [self.segments[int(identification.ReferencedSegmentNumber)]]

    def mask(self, frame: MaskFrame, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """What of a frame, shape (rows, columns), is inside the segment.

        Parameters
        ----------
        pixels
            Stored values of the frame with that number.
        """
        inside: NDArray[np.bool_] = pixels == frame.segment.number if self._is_label_map else pixels >= self._threshold
        return inside

    def masks_over(self, image: Dataset, frame_number: int) -> list[MaskFrame]:
        """The frames of the segmentation that lie over a frame of an image, pixel for pixel; by segment.

        Found by what the segmentation names as its source, else by equal orientation and position.

        Parameters
        ----------
        image
            Header of the image instance.
        frame_number
            Counts from 1.
        """
        if self._shape != (int(image.get("Rows") or 0), int(image.get("Columns") or 0)):
            return []
        plane = ImagePlane.of(image, frame_number)
        if plane is not None and self._directions is not None and not plane.same_direction(self._directions):
            return []
        uid = str(image.get("SOPInstanceUID"))
        several = int(image.get("NumberOfFrames") or 1) > 1
        names = {(uid, frame_number)} if several else {(uid, 0), (uid, 1)}
        found = [place.mask for place in self._places if place.sources & names]
        if not found and plane is not None:
            found = [
                place.mask
                for place in self._places
                if place.position_mm is not None and plane.same_place(place.position_mm)
            ]
        return sorted(found, key=lambda mask: (mask.segment.number, mask.frame_number))


def _place(header: Dataset, frame_number: int, segment: Segment) -> _Place:
    mask = MaskFrame(frame_number, segment)
    sources: set[tuple[str, int]] = set()
    derivation = functional_group(header, frame_number, "DerivationImageSequence")
    for source in derivation.get("SourceImageSequence") or ():
        named = source.get("ReferencedFrameNumber")
        frames = [0] if named in (None, "") else [int(each) for each in np.atleast_1d(np.asarray(named))]
        sources |= {(str(source.ReferencedSOPInstanceUID), each) for each in frames}
    position = numbers(functional_group(header, frame_number, "PlanePositionSequence"), "ImagePositionPatient")
    usable = position is not None and len(position) == 3
    return _Place(mask, frozenset(sources), np.asarray(position) if usable else None)


def _segment(item: Dataset) -> Segment:
    number = int(item.SegmentNumber)
    colour = _FALLBACK_COLOURS[(number - 1) % len(_FALLBACK_COLOURS)]
    value = item.get("RecommendedDisplayCIELabValue")
    if value is not None and len(value) == 3:
        red, green, blue = CIELabColor.from_dicom_value(tuple(int(each) for each in value)).to_rgb()
        colour = (int(red), int(green), int(blue))
    return Segment(number, clean_text(item.get("SegmentLabel", ""), 40) or f"Segment {number}", colour)
