"""One frame: from the messages that carry it to its stored values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
from numpy.typing import NDArray

from imaging.codecs.decode import decode_frame
from imaging.codecs.registry import CODECS
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import EXPLICIT_VR_BIG_ENDIAN, GE_PRIVATE_IMPLICIT
from imaging.errors import ChecksumMismatch
from imaging.storage.v1 import storage_service_pb2

if TYPE_CHECKING:
    from imaging.codecs.sandbox import DecodePool

FrameHeader = storage_service_pb2.RetrieveFramesResponse.Header
InstanceHeaderBytes = storage_service_pb2.RetrieveFramesResponse.InstanceHeader

DECODABLE = tuple(sorted(set(CODECS) - {EXPLICIT_VR_BIG_ENDIAN, GE_PRIVATE_IMPLICIT}))
"""Transfer syntaxes that we ask for. Storage turns big-endian pixels round: it knows the VR they were written with."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame."""

    instance: str
    """`studies/{uid}/series/{uid}/instances/{uid}`."""

    sop_instance_uid: str
    frame_number: int
    """Counts from 1."""

    pixels: NDArray[Any]
    """Stored values, shape (rows, columns) or (rows, columns, samples); no LUT is applied."""

    header: FrameHeader
    instance_header: InstanceHeaderBytes | None = None
    """With the first frame of each instance, if asked for; `imaging.dicom.header.read_header` reads its content."""

    encoded: bytes = b""
    """Of a frame at a resolution level over 0: the bytes that it was decoded from, which `refine` adds to."""

    @property
    def resolution_level(self) -> int:
        """0: the whole frame; n: `pixels` are those of the frame halved n times, rounded up."""
        return self.header.resolution_level


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A frame as it came over the wire."""

    header: FrameHeader
    content: bytes
    instance_header: InstanceHeaderBytes | None = None


class FrameAssembly:
    """Puts the messages of one frame after the other together."""

    def __init__(self) -> None:
        self._header: FrameHeader | None = None
        self._content = bytearray()
        self._instance_header: InstanceHeaderBytes | None = None

    @property
    def is_open(self) -> bool:
        """True in the middle of a frame."""
        return self._header is not None

    def add(self, message: storage_service_pb2.RetrieveFramesResponse) -> EncodedFrame | None:
        """The frame, when this message ends it.

        Raises
        ------
        ChecksumMismatch
            If bytes changed or are missing.
        """
        if message.HasField("instance_header"):
            self._instance_header = message.instance_header
            if not message.HasField("header"):
                return None
        if message.HasField("header"):
            self._header, self._content = message.header, bytearray()
        header = self._header
        if header is None:
            raise ChecksumMismatch("A frame came without its header", hint="Retrieve it again.")
        if message.HasField("data"):
            content = message.data.content  # each look at it is a copy
            if google_crc32c.value(content) != message.data.crc32c:
                raise ChecksumMismatch("A part of the frame changed on the way", where=header.instance)
            if message.HasField("finish") and not self._content:
                self._header = None
                return self._whole(header, content)
            self._content += content
        if not message.HasField("finish"):
            return None
        self._header = None
        return self._whole(header, bytes(self._content))

    def _whole(self, header: FrameHeader, content: bytes) -> EncodedFrame:
        if len(content) != header.size_bytes:
            raise ChecksumMismatch(
                f"A frame of {header.size_bytes} bytes came with {len(content)}",
                where=header.instance,
                hint="Retrieve it again.",
            )
        instance_header, self._instance_header = self._instance_header, None
        return EncodedFrame(header, content, instance_header)


def description_of(header: FrameHeader) -> PixelDescription:
    """The frame that a header announces."""
    return PixelDescription(
        rows=header.rows,
        columns=header.columns,
        samples_per_pixel=header.samples_per_pixel,
        photometric_interpretation=header.photometric_interpretation,
        bits_allocated=header.bits_allocated,
        bits_stored=header.bits_stored,
        high_bit=header.high_bit,
        pixel_representation=header.pixel_representation,
        planar_configuration=header.planar_configuration if header.HasField("planar_configuration") else None,
        number_of_frames=1,
        is_float=header.pixel_keyword in ("FloatPixelData", "DoubleFloatPixelData"),
    )


async def decode(encoded: EncodedFrame, pool: DecodePool) -> Frame:
    """The frame with its stored values, at the level that its header tells; foreign codecs run in the pool's processes.

    Raises
    ------
    PixelDataInvalid
        If the bytes are not the image that the header tells.
    UnsupportedTransferSyntax
        If no codec decodes it.
    """
    header = encoded.header
    level = header.resolution_level
    description = description_of(header)
    codec = CODECS.get(header.transfer_syntax_uid)
    if codec is not None and not codec.is_foreign:
        pixels = decode_frame(encoded.content, header.transfer_syntax_uid, description, bit_offset=header.bit_offset)
    else:
        pixels = await pool.decode(encoded.content, header.transfer_syntax_uid, description, resolution_level=level)
    uid = header.instance.rpartition("/")[2]
    kept = encoded.content if level else b""
    return Frame(header.instance, uid, header.frame_number, pixels, header, encoded.instance_header, kept)
