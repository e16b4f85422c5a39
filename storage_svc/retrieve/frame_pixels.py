"""Stored values of one frame from its stored bytes, whatever the transfer syntax and byte order."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from imaging.codecs.sandbox import DecodePool
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import EXPLICIT_VR_BIG_ENDIAN


def frame_pixels(
    content: bytes | memoryview,
    transfer_syntax_uid: str,
    pixels: PixelDescription,
    *,
    pixel_vr: str,
    bit_offset: int,
    pool: DecodePool,
) -> NDArray[Any]:
    """The frame as `imaging.codecs.decode.decode_frame` gives it; blocks.

    Parameters
    ----------
    pixel_vr
        As the pixel data element has it: OW in big endian swaps the bytes of 8-bit samples (PS3.5 A.3).

    Raises
    ------
    PixelDataInvalid, UnsupportedTransferSyntax
        If it cannot be decoded.
    """
    swapped = transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN and pixel_vr == "OW" and pixels.bits_allocated == 8
    return pool.decode_blocking(content, transfer_syntax_uid, pixels, bit_offset=bit_offset, swapped_words=swapped)
