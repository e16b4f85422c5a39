"""Objects for peers that do not take them as they are stored: decoded, in Explicit or Implicit VR Little Endian."""

from __future__ import annotations

import asyncio
from array import array
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from imaging.client.frame_stream import read_encoded_frames
from imaging.client.patience import Patience
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    PixelFamily,
    TransferSyntax,
    transfer_syntax,
)
from imaging.errors import LimitExceeded, PixelDataInvalid, UnsupportedTransferSyntax
from imaging.storage.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pydicom

    from imaging.client.stub import StorageStub

MOST_BYTES: Final = 512 * 1024 * 1024
"""Of an object before or after it was decoded: it is held in memory whole."""

TARGETS: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

_NO_PIXELS_HERE = frozenset({PixelFamily.MPEG, PixelFamily.REFERENCED})
_WORDS: Final = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q", "OV": "Q"}
_OFFSET_TABLES = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


def is_convertible(transfer_syntax_uid: str) -> bool:
    """True for a syntax whose pixels can be decoded; whether a given object can, only trying tells."""
    return transfer_syntax(transfer_syntax_uid).family not in _NO_PIXELS_HERE


async def converted(storage: StorageStub, name: str, content: bytes, source_uid: str, target_uid: str) -> bytes:
    """The data set of an instance in another transfer syntax, pixels decoded by storage.

    Parameters
    ----------
    content
        The stored object.
    target_uid
        One of `TARGETS`.

    Raises
    ------
    UnsupportedTransferSyntax
        If its pixels cannot be decoded to something else.
    PixelDataInvalid
        If they are broken.
    LimitExceeded
        If it would be more than `MOST_BYTES`.
    """
    source = transfer_syntax(source_uid)
    if source.family in _NO_PIXELS_HERE:
        raise UnsupportedTransferSyntax(
            f"An instance in {source.name} cannot be sent in another transfer syntax", where=name
        )
    import pydicom  # slow to import, and seldom needed

    data_set = await asyncio.to_thread(pydicom.dcmread, BytesIO(content))
    frames: list[bytes] = []
    header: pb.RetrieveFramesResponse.Header | None = None
    if "PixelData" in data_set and (source.encapsulated or not source.pixels_little_endian):
        frames, header = await _frames(storage, name)
    return await asyncio.to_thread(_encoded, data_set, source, target_uid, frames, header)


async def _frames(storage: StorageStub, name: str) -> tuple[list[bytes], pb.RetrieveFramesResponse.Header | None]:
    request = pb.RetrieveFramesRequest(
        selections=[pb.RetrieveFramesRequest.Selection(instance=name)],
        accept_transfer_syntax_uids=[EXPLICIT_VR_LITTLE_ENDIAN],
    )
    frames: list[bytes] = []
    header, size = None, 0
    encoded = read_encoded_frames(storage, request, Patience())
    try:
        async for frame in encoded:
            header = frame.header
            if header.bit_offset:
                raise PixelDataInvalid("Frames of one bit a pixel do not start on bytes", where=name)
            size += len(frame.content)
            if size > MOST_BYTES:
                raise LimitExceeded(f"The decoded frames have more than {MOST_BYTES} bytes", where=name)
            frames.append(bytes(frame.content))
    finally:
        await encoded.aclose()
    return frames, header


def _encoded(
    data_set: Any,
    source: TransferSyntax,
    target_uid: str,
    frames: Sequence[bytes],
    header: pb.RetrieveFramesResponse.Header | None,
) -> bytes:
    import pydicom
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import correct_ambiguous_vr, write_dataset

    if not source.little_endian:
        _swap_words(data_set)
    if header is not None:
        _put_pixels(data_set, frames, header)
    plain = pydicom.Dataset()
    for element in data_set:  # each is read now, while it is known how it was encoded
        plain.add(element)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, target_uid == IMPLICIT_VR_LITTLE_ENDIAN
    write_dataset(buffer, correct_ambiguous_vr(plain, True), parent_encoding="iso8859")
    return bytes(buffer.getvalue())


def _put_pixels(data_set: Any, frames: Sequence[bytes], header: pb.RetrieveFramesResponse.Header) -> None:
    pixels = b"".join(frames)
    data_set.PixelData = pixels + b"\0" * (len(pixels) % 2)
    data_set["PixelData"].VR = "OW" if header.bits_allocated > 8 else "OB"
    data_set["PixelData"].is_undefined_length = False
    data_set.PhotometricInterpretation = header.photometric_interpretation
    data_set.SamplesPerPixel = header.samples_per_pixel
    data_set.BitsAllocated, data_set.BitsStored = header.bits_allocated, header.bits_stored
    data_set.HighBit, data_set.PixelRepresentation = header.high_bit, header.pixel_representation
    if header.HasField("planar_configuration"):
        data_set.PlanarConfiguration = header.planar_configuration
    for keyword in _OFFSET_TABLES:
        if keyword in data_set:
            delattr(data_set, keyword)


def _swap_words(data_set: pydicom.Dataset) -> None:
    """Words of big endian to little endian; of the other values pydicom knows the numbers."""
    for element in data_set.iterall():
        kind = _WORDS.get(element.VR)
        if kind and isinstance(element.value, bytes) and element.keyword != "PixelData":
            words = array(kind)
            if len(element.value) % words.itemsize == 0:
                words.frombytes(element.value)
                words.byteswap()
                element.value = words.tobytes()
