"""A whole object in another transfer syntax: the same data set, its pixels encoded anew without loss."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from imaging.codecs.reencode import PLAIN
from imaging.codecs.sandbox import DecodePool
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, TransferSyntax, transfer_syntax
from imaging.errors import InvalidDicom, LimitExceeded, PixelDataInvalid
from imaging.objectstore import ObjectStore
from storage_svc.ingest.arrival import pixels_of
from storage_svc.keeping.verified_object import read_whole
from storage_svc.retrieve.frame_source import frame_groups, read_frames
from storage_svc.retrieve.transcode_frame import transcoded_frame

if TYPE_CHECKING:
    import pydicom

Row = Mapping[str, Any]

MOST_BYTES: Final = 512 * 1024 * 1024
"""Of an object as it is kept, and of its decoded frames: all of it is in memory."""

_WORDS: Final = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q", "OV": "Q"}
_PIXEL_KEYWORDS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_OFFSET_TABLES: Final = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


def transcoded_bytes(row: Row) -> int:
    """Memory that transcoding takes, about."""
    decoded = 0
    if row["pixels"]:
        pixels, _, _ = pixels_of(row["pixels"])
        decoded = pixels.decoded_frame_bytes * pixels.number_of_frames
    return int(row["size_bytes"]) + 2 * decoded


def transcoded_instance(store: ObjectStore, row: Row, target_uid: str, pool: DecodePool) -> tuple[str, bytes]:
    """The transfer syntax and the bytes of an object that is kept in another one, from its preamble on; blocks.

    An object without pixels comes in Explicit VR Little Endian where a transfer syntax for pixels is asked for.
    Attributes of the pixels are those of the new encoding; those that tell of earlier losses stay, and so does the SOP
    Instance UID.

    Parameters
    ----------
    row
        Of the instance, with the layout of its object.

    Raises
    ------
    PixelDataInvalid
        If its pixels are broken.
    UnsupportedTransferSyntax
        If they do not fit into that transfer syntax.
    LimitExceeded
        If it is too large.
    InvalidDicom
        If a value cannot be read, so that it cannot be written in another encoding.
    """
    if transcoded_bytes(row) > 2 * MOST_BYTES:
        raise LimitExceeded(
            f"An object of {row['size_bytes']} bytes is too large to be encoded anew",
            where=row["sop_instance_uid"],
            hint="Accept it as it is kept, or retrieve its frames.",
        )
    from imaging.dicom.header_value import UNREADABLE  # slow to import, and seldom needed

    content = read_whole(store, row)
    try:
        return _transcoded(store, row, content, transfer_syntax(target_uid), pool)
    except UNREADABLE as error:
        raise InvalidDicom(
            f"The object cannot be written in another transfer syntax ({type(error).__name__})",
            where=row["sop_instance_uid"],
            hint="One of its values is not what its VR allows: accept it as it is kept.",
        ) from error


def _transcoded(
    store: ObjectStore, row: Row, content: bytes, target: TransferSyntax, pool: DecodePool
) -> tuple[str, bytes]:
    import pydicom  # slow to import, and seldom needed

    source = transfer_syntax(row["transfer_syntax_uid"])
    data_set = pydicom.dcmread(BytesIO(content))
    if not any(keyword in data_set for keyword in _PIXEL_KEYWORDS):
        if target.encapsulated:
            target = transfer_syntax(EXPLICIT_VR_LITTLE_ENDIAN)
    elif target.encapsulated or source.encapsulated or not source.pixels_little_endian:
        _put_pixels(data_set, *_frames(store, row, target, pool), target)
    return target.uid, _encoded(data_set, source, target)


def _frames(
    store: ObjectStore, row: Row, target: TransferSyntax, pool: DecodePool
) -> tuple[PixelDescription, list[bytes]]:
    frames: list[bytes] = []
    described = None
    for group in frame_groups(row, range(1, row["number_of_frames"] + 1)):
        for frame in read_frames(store, group):
            described, content = transcoded_frame(frame, target.uid, pool)
            if target.uid in PLAIN and described.bits_allocated == 1 and described.samples_per_frame % 8:
                raise PixelDataInvalid(
                    "Frames of one bit a pixel do not end with a byte", where=row["sop_instance_uid"]
                )
            frames.append(content)
    if described is None:
        raise PixelDataInvalid(
            "The pixel data cannot be read as frames",
            where=row["sop_instance_uid"],
            hint="Its warnings say why; accept it as it is kept.",
        )
    return described, frames


def _put_pixels(
    data_set: pydicom.Dataset, described: PixelDescription, frames: list[bytes], target: TransferSyntax
) -> None:
    from pydicom.encaps import encapsulate

    data_set.PhotometricInterpretation = described.photometric_interpretation
    data_set.BitsAllocated = described.bits_allocated
    if "HighBit" in data_set:
        data_set.HighBit = described.high_bit
    if described.planar_configuration is not None:
        data_set.PlanarConfiguration = described.planar_configuration
    for keyword in _OFFSET_TABLES:
        if keyword in data_set:
            delattr(data_set, keyword)
    (keyword,) = (keyword for keyword in _PIXEL_KEYWORDS if keyword in data_set)
    if target.encapsulated:
        data_set.PixelData = encapsulate(frames)
        data_set["PixelData"].VR = "OB"
        data_set["PixelData"].is_undefined_length = True
        return
    pixels = b"".join(frames)
    setattr(data_set, keyword, pixels + b"\0" * (len(pixels) % 2))
    if keyword == "PixelData":
        data_set["PixelData"].VR = "OW" if described.bits_allocated > 8 else "OB"
    data_set[keyword].is_undefined_length = False


def _encoded(data_set: pydicom.Dataset, source: TransferSyntax, target: TransferSyntax) -> bytes:
    import pydicom
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import correct_ambiguous_vr, write_dataset, write_file_meta_info
    from pydicom.uid import UID

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    buffer.write(data_set.preamble or bytes(128))
    buffer.write(b"DICM")
    data_set.file_meta.TransferSyntaxUID = UID(target.uid)
    write_file_meta_info(buffer, data_set.file_meta, enforce_standard=False)
    buffer.is_implicit_VR = target.implicit_vr
    if (source.implicit_vr, source.little_endian) == (target.implicit_vr, True):
        write_dataset(buffer, data_set)  # elements that nobody looked at go out as the bytes that they are
        return bytes(buffer.getvalue())
    if not source.little_endian:
        _swap_words(data_set)
    plain = pydicom.Dataset()
    for element in data_set:  # each is read now, while it is known how it was encoded
        plain.add(element)
    write_dataset(buffer, correct_ambiguous_vr(plain, True))
    return bytes(buffer.getvalue())


def _swap_words(data_set: pydicom.Dataset) -> None:
    """Words of big endian to little endian; of the other values pydicom knows the numbers."""
    for element in _words(data_set):
        words = array(_WORDS[element.VR])
        if len(element.value) % words.itemsize == 0:
            words.frombytes(element.value)
            words.byteswap()
            element.value = words.tobytes()


def _words(data_set: pydicom.Dataset) -> Iterator[Any]:
    for element in data_set.iterall():
        if element.VR in _WORDS and isinstance(element.value, bytes) and element.keyword not in _PIXEL_KEYWORDS:
            yield element
