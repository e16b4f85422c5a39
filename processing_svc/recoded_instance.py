"""An instance with the same attributes and stored values as another one, in another transfer syntax."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sr.codedict import codes
from pydicom.tag import Tag

from imaging.client.headers import InstanceHeader
from imaging.derived.derivation import Algorithm
from imaging.derived.derived_series import derived_series_uid
from imaging.derived.dicom_time import da_value, offset_zone, tm_value
from imaging.derived.equipment import coded, contribution
from imaging.dicom.changed_header import Elements, changed_header, explicit_bytes, outermost_elements
from imaging.dicom.implementation import part10_prefix
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS_RPCL, transfer_syntax
from imaging.dicom.uid import derived_uid

_SUFFIX: Final = "HTJ2K"
_BASIC_OFFSETS_END: Final = 1 << 32
"""Beyond it only an Extended Offset Table can tell where a frame is (PS3.5 A.4)."""

_PIXELS_START: Final = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"
_PIXELS_END: Final = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_OFFSET_TABLES: Final = (0x7FE00001, 0x7FE00002)
"""Those of another encoding."""

_TOLD: Final = tuple(
    Tag(keyword)
    for keyword in (
        "SpecificCharacterSet",
        "Modality",
        "SeriesDescription",
        "SeriesNumber",
        "TimezoneOffsetFromUTC",
        "ContributingEquipmentSequence",
    )
)
"""What a copy tells anew depends on these."""


class RecodedSeries:
    """Makes the instances of a copied series, one of each source; the same calls give the same bytes.

    Pixel attributes are those of the new encoding. SOP Instance UID, Series Instance UID, series number and description
    are the copy's own, and it names its source (PS3.3 C.12.4.1.1.1). Image Type stays, for no pixel was changed
    (C.7.6.1.1.2). All else goes out as the bytes that it is in the source, where that is in explicit VR little endian.
    """

    def __init__(self, algorithm: Algorithm, uid_parts: Sequence[str], time: datetime) -> None:
        self._algorithm = algorithm
        self._uid_parts = tuple(uid_parts)
        self._time = time
        self._series_instance_uid = derived_series_uid(uid_parts)
        self._made: dict[tuple[object, ...], Elements] = {}

    def instance(self, source: InstanceHeader, frames: Sequence[tuple[PixelDescription, bytes]]) -> bytes:
        """The Part 10 bytes of the copy. Blocks.

        Parameters
        ----------
        frames
            Description and bytes of all frames in order.
        """
        dataset = source.dataset
        syntax = transfer_syntax(source.instance.transfer_syntax_uid)
        is_explicit = not syntax.implicit_vr and syntax.little_endian
        header = outermost_elements(source.content if is_explicit else explicit_bytes(dataset))
        uid = derived_uid(*self._uid_parts, "instance", str(dataset.SOPInstanceUID))
        offsets, pixels = _encapsulated([content for _, content in frames])
        changes = self._shared(header, dataset, frames[0][0]) | _own(source, uid, offsets)
        prefix = part10_prefix(str(dataset.SOPClassUID), uid, HTJ2K_LOSSLESS_RPCL)
        return b"".join([prefix, *changed_header(header, changes, without=_OFFSET_TABLES), *pixels])

    def _shared(self, header: Elements, dataset: Dataset, described: PixelDescription) -> Elements:
        """What changes in the same way in all instances that tell the same."""
        told = (described, *(bytes(header.get(tag, b"")) for tag in _TOLD))
        if told not in self._made:
            changes = self._series_changes(dataset)
            changes.PhotometricInterpretation = described.photometric_interpretation
            changes.BitsAllocated = described.bits_allocated
            if described.planar_configuration is not None:
                changes.PlanarConfiguration = described.planar_configuration
            self._made = {told: outermost_elements(explicit_bytes(changes, _character_set(dataset)))}
        return self._made[told]

    def _series_changes(self, dataset: Dataset) -> Dataset:
        """They depend on no attribute but those of `_TOLD`."""
        changes = Dataset()
        changes.SeriesInstanceUID = self._series_instance_uid
        changes.SeriesNumber = 1000 + _series_number(dataset)
        told = str(dataset.get("SeriesDescription") or dataset.get("Modality") or "").strip()
        changes.SeriesDescription = f"{told[: 63 - len(_SUFFIX)]} {_SUFFIX}".strip()
        zone = offset_zone(dataset.get("TimezoneOffsetFromUTC"))
        changes.InstanceCreationDate = da_value(self._time, zone)
        changes.InstanceCreationTime = tm_value(self._time, zone)
        changes.ContributingEquipmentSequence = [
            *copy.deepcopy(list(dataset.get("ContributingEquipmentSequence") or ())),
            contribution(self._time, f"Encoded anew without loss ({self._algorithm.text})"),
        ]
        return changes


def _own(source: InstanceHeader, sop_instance_uid: str, offsets: Dataset) -> Elements:
    """What each instance tells by itself."""
    changes = Dataset()
    changes.update(offsets)
    changes.SOPInstanceUID = sop_instance_uid
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.dataset.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.dataset.SOPInstanceUID
    encapsulated = transfer_syntax(source.instance.transfer_syntax_uid).encapsulated
    reference.PurposeOfReferenceCodeSequence = [
        coded(codes.DCM.SourceImageForImageProcessingOperation if encapsulated else codes.DCM.UncompressedPredecessor)
    ]
    changes.SourceImageSequence = [*(source.dataset.get("SourceImageSequence") or ()), reference]
    return outermost_elements(explicit_bytes(changes, _character_set(source.dataset)))


def _character_set(dataset: Dataset) -> str | list[str]:
    told: str | list[str] = dataset.get("SpecificCharacterSet") or ""
    return told


def _series_number(dataset: Dataset) -> int:
    try:
        number = int(dataset.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        return 0
    return number if 0 <= number < 1_000_000 else 0


def _encapsulated(frames: Sequence[bytes]) -> tuple[Dataset, list[bytes]]:
    """An Extended Offset Table where one is needed, and the parts of the Pixel Data element (PS3.5 A.4)."""
    offsets = Dataset()
    if sum(len(frame) + 16 for frame in frames) < _BASIC_OFFSETS_END:
        value = encapsulate(frames)
    else:
        value, offsets.ExtendedOffsetTable, offsets.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    return offsets, [_PIXELS_START, value, _PIXELS_END]
