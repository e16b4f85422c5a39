"""Which source images a derived slice was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from imaging.derived.equipment import coded
from imaging.errors import InvalidArgument
from imaging.volume.frame_headers import frame_headers
from imaging.volume.volume import SourceFrame, Volume


@dataclass(frozen=True, slots=True)
class SourceImages:
    """The frames of a source series along the normal of a volume derived from it."""

    headers: Mapping[str, Dataset]
    """One for each instance, by SOPInstanceUID."""

    frames: tuple[SourceFrame, ...]
    """Sorted along the normal."""

    places_mm: NDArray[np.float64]
    """Of `frames` along the normal."""

    is_multi_frame: bool
    items: dict[tuple[str, tuple[int, ...]], Dataset] = field(default_factory=dict, repr=False, compare=False)
    """Of SourceImageSequence, by SOPInstanceUID and frame numbers: those that were asked for."""

    @classmethod
    def of(cls, headers: Sequence[Dataset], volume: Volume) -> SourceImages:
        """The frames of the source headers, in the direction of the derived volume.

        Raises
        ------
        VolumeRefused
            If a header has no place in the patient.
        """
        found = [header for dataset in headers for header in frame_headers(dataset)]
        places = np.array([np.dot(header.position_mm, volume.direction[0]) for header in found])
        order = np.argsort(places, kind="stable")
        return cls(
            headers={str(dataset.SOPInstanceUID): dataset for dataset in headers},
            frames=tuple(found[index].source for index in order),
            places_mm=places[order],
            is_multi_frame=len(found) > len(headers),
        )

    def of_slice(self, volume: Volume, index: int) -> list[SourceFrame]:
        """The frames between whose places a derived slice lies, at least the nearest one."""
        place = float(np.dot(volume.origin_mm, volume.direction[0])) + index * volume.spacing_mm[0]
        distance = np.abs(self.places_mm - place)
        step = float(np.diff(self.places_mm).mean()) if len(self.places_mm) > 1 else np.inf
        # A slice that lies on a source slice has one source; the neighbours at one step do not count.
        near = np.flatnonzero(distance < 0.999 * step)
        if len(near) == 0 or distance.min() < 1e-3 * step:
            near = np.array([int(distance.argmin())])
        return [self.frames[int(place)] for place in near]

    def header_of(self, frame: SourceFrame) -> Dataset:
        """The header of the instance that a frame is in.

        Raises
        ------
        InvalidArgument
            If it was not among the source headers.
        """
        header = self.headers.get(frame.sop_instance_uid)
        if header is None:
            raise InvalidArgument(
                "A slice of the volume names a source whose header was not given",
                where=f"instance {frame.sop_instance_uid}",
                hint="Give the headers of all instances of the source series.",
            )
        return header

    def sequence(self, frames: Sequence[SourceFrame]) -> list[Dataset]:
        """Items of SourceImageSequence (0008,2112; PS3.3 C.12.4): each instance once, with its frame numbers.

        The item of an instance is made once and shared: a plane across a series names every slice of it. Do not change
        it.
        """
        numbers: dict[tuple[str, str], list[int]] = {}
        for frame in frames:
            numbers.setdefault((frame.sop_class_uid, frame.sop_instance_uid), []).append(frame.frame_number)
        return [self._item(*instance, tuple(told)) for instance, told in numbers.items()]

    def _item(self, sop_class_uid: str, sop_instance_uid: str, numbers: tuple[int, ...]) -> Dataset:
        key = sop_instance_uid, numbers
        item = self.items.get(key)
        if item is None:
            item = self.items[key] = Dataset()
            item.ReferencedSOPClassUID = sop_class_uid
            item.ReferencedSOPInstanceUID = sop_instance_uid
            item.PurposeOfReferenceCodeSequence = [coded(codes.DCM.SourceImageForImageProcessingOperation)]
            if self.is_multi_frame:
                item.ReferencedFrameNumber = list(numbers)
        return item
