"""An instance with the same attributes and stored values as another one, in another transfer syntax."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from imaging.client.headers import InstanceHeader
from imaging.derived.derivation import Algorithm
from imaging.derived.derived_series import derived_series_uid
from imaging.derived.deterministic import part10_bytes
from imaging.derived.dicom_time import da_value, offset_zone, tm_value
from imaging.derived.equipment import coded, contribution
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import HTJ2K_LOSSLESS_RPCL, transfer_syntax
from imaging.dicom.uid import derived_uid

_SUFFIX: Final = "HTJ2K"
_BASIC_OFFSETS_END: Final = 1 << 32
"""Beyond it only an Extended Offset Table can tell where a frame is (PS3.5 A.4)."""


def recoded_instance(
    source: InstanceHeader,
    frames: Sequence[tuple[PixelDescription, bytes]],
    *,
    algorithm: Algorithm,
    uid_parts: Sequence[str],
    time: datetime,
) -> bytes:
    """The Part 10 bytes of the copy; the same call gives the same bytes.

    Pixel attributes are those of the new encoding. SOP Instance UID, Series Instance UID, series number and description
    are its own, and it names its source (PS3.3 C.12.4.1.1.1). Image Type stays, for no pixel was changed (C.7.6.1.1.2).

    Parameters
    ----------
    frames
        Description and bytes of all frames in order.
    """
    dataset = _readable(source)
    original_uid = str(dataset.SOPInstanceUID)
    syntax = transfer_syntax(source.instance.transfer_syntax_uid)
    reference = Dataset()
    reference.ReferencedSOPClassUID = dataset.SOPClassUID
    reference.ReferencedSOPInstanceUID = original_uid
    purpose = (
        codes.DCM.SourceImageForImageProcessingOperation if syntax.encapsulated else codes.DCM.UncompressedPredecessor
    )
    reference.PurposeOfReferenceCodeSequence = [coded(purpose)]
    dataset.SourceImageSequence = [*(dataset.get("SourceImageSequence") or ()), reference]
    dataset.SOPInstanceUID = derived_uid(*uid_parts, "instance", original_uid)
    dataset.SeriesInstanceUID = derived_series_uid(uid_parts)
    dataset.SeriesNumber = 1000 + _series_number(dataset)
    told = str(dataset.get("SeriesDescription") or dataset.get("Modality") or "").strip()
    dataset.SeriesDescription = f"{told[: 63 - len(_SUFFIX)]} {_SUFFIX}".strip()
    zone = offset_zone(dataset.get("TimezoneOffsetFromUTC"))
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = da_value(time, zone), tm_value(time, zone)
    dataset.ContributingEquipmentSequence = [
        *copy.deepcopy(list(dataset.get("ContributingEquipmentSequence") or ())),
        contribution(time, f"Encoded anew without loss ({algorithm.text})"),
    ]
    _put_frames(dataset, frames)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(HTJ2K_LOSSLESS_RPCL)
    return part10_bytes(dataset)


def _readable(source: InstanceHeader) -> Dataset:
    """The header in Explicit VR Little Endian, whatever it was in."""
    syntax = transfer_syntax(source.instance.transfer_syntax_uid)
    plain = Dataset()
    if not syntax.implicit_vr and syntax.little_endian:
        plain.update(source.dataset)  # elements that nobody looked at go out as the bytes that they are
        return plain
    for element in source.dataset:
        plain.add(element)
    return correct_ambiguous_vr(plain, True)


def _series_number(dataset: Dataset) -> int:
    try:
        number = int(dataset.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        return 0
    return number if 0 <= number < 1_000_000 else 0


def _put_frames(dataset: Dataset, frames: Sequence[tuple[PixelDescription, bytes]]) -> None:
    described = frames[0][0]
    dataset.PhotometricInterpretation = described.photometric_interpretation
    dataset.BitsAllocated = described.bits_allocated
    if described.planar_configuration is not None:
        dataset.PlanarConfiguration = described.planar_configuration
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            delattr(dataset, keyword)
    contents = [content for _, content in frames]
    if sum(len(content) + 16 for content in contents) < _BASIC_OFFSETS_END:
        dataset.PixelData = encapsulate(contents)
    else:
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(
            contents
        )
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
