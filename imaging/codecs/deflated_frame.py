"""Deflated Image Frame Compression: each frame is native pixels, deflated by itself (PS3.5 A.4.14, 8.2.21)."""

from __future__ import annotations

import zlib
from typing import Any

from numpy.typing import NDArray

from imaging.codecs import native
from imaging.codecs.decoded_samples import DecodedSamples
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import TransferSyntax
from imaging.errors import PixelDataInvalid

_RAW_DEFLATE = -15


def decode(frame_bytes: bytes, syntax: TransferSyntax, pixels: PixelDescription) -> DecodedSamples:
    """The samples of one deflated frame; no more is inflated than one frame needs.

    Raises
    ------
    PixelDataInvalid
        If the stream is damaged, was cut, or inflates to more or less than one frame.
    """
    inflater = zlib.decompressobj(_RAW_DEFLATE)
    limit = pixels.native_frame_bytes + 2
    try:
        native_frame = inflater.decompress(frame_bytes, limit)
    except zlib.error as error:
        raise PixelDataInvalid(
            "The deflated frame is damaged", where="Pixel Data (7FE0,0010)", hint="Send the whole frame again."
        ) from error
    if not inflater.eof:
        raise PixelDataInvalid(
            "The deflated frame was cut, or inflates to more than one frame",
            where="Pixel Data (7FE0,0010)",
            hint=f"It must inflate to {pixels.native_frame_bytes} bytes.",
        )
    return native.decode(native_frame, syntax, pixels)


def encode(samples: NDArray[Any], syntax: TransferSyntax, pixels: PixelDescription) -> bytes:
    """One frame, deflated."""
    deflater = zlib.compressobj(wbits=_RAW_DEFLATE)
    return deflater.compress(native.encode(samples, syntax, pixels)) + deflater.flush()
