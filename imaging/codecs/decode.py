"""One frame's bytes to one frame's stored values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.codecs import htj2k, native
from imaging.codecs.colour import ybr_to_rgb
from imaging.codecs.decoded_samples import DecodedSamples
from imaging.codecs.registry import codec_for
from imaging.codecs.resolution_levels import at_level
from imaging.codecs.sample_type import sample_type
from imaging.dicom.pixel_description import PixelDescription, check_pixels
from imaging.dicom.transfer_syntax import transfer_syntax
from imaging.errors import PixelDataInvalid

MAX_DECODED_FRAME_BYTES = 1 << 30
"""The largest frame that is decoded: 1 GiB."""


def decode_frame(
    frame_bytes: bytes | bytearray | memoryview,
    transfer_syntax_uid: str,
    pixels: PixelDescription,
    *,
    bit_offset: int = 0,
    swapped_words: bool = False,
    resolution_level: int = 0,
) -> NDArray[Any]:
    """The stored values of one frame, shape (rows, columns) or (rows, columns, samples), equal to pydicom's.

    The type is that of Bits Allocated and Pixel Representation (uint8 for 1-bit samples), in the machine's byte order.
    Bits above High Bit are cleared or filled with the sign; where it is not Bits Stored - 1 (PS3.5 8.1.1 asks for that
    now), values are moved down to there, which pydicom does not. YBR_FULL and YBR_FULL_422 become RGB, PALETTE COLOR
    stays indices; colours are the last axis whatever Planar Configuration says.
    A native frame may come back as a read-only view of `frame_bytes`.

    Parameters
    ----------
    frame_bytes
        All fragments of the frame, joined; for deflated data sets, out of the inflated data set.
    bit_offset, swapped_words
        Only for native pixels: see `imaging.codecs.native.decode`.
    resolution_level
        Not 0: give the smaller image of that level, of a progressive HTJ2K frame or a prefix of it (see
        `imaging.codecs.resolution_levels`). `pixels` still describes the frame.

    Raises
    ------
    PixelDataInvalid
        If the bytes are not the image that `pixels` describes, or it is over `MAX_DECODED_FRAME_BYTES`.
    UnsupportedTransferSyntax
        If no codec decodes that transfer syntax.
    """
    codec = codec_for(transfer_syntax_uid)
    check_decodable(pixels)
    syntax = transfer_syntax(transfer_syntax_uid)
    try:
        if codec.decode is native.decode:
            decoded = native.decode(frame_bytes, syntax, pixels, bit_offset=bit_offset, swapped_words=swapped_words)
        elif resolution_level and codec.decode is htj2k.decode:
            decoded = htj2k.decode(bytes(frame_bytes), syntax, pixels, resolution_level=resolution_level)
            pixels = at_level(pixels, resolution_level)
        else:
            decoded = codec.decode(bytes(frame_bytes), syntax, pixels)
    except MemoryError:
        raise PixelDataInvalid(
            f"The {codec.name} frame needs more memory to decode than is allowed",
            where="Pixel Data (7FE0,0010)",
            hint="It is damaged, or far larger than its attributes tell.",
        ) from None
    except (RuntimeError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise PixelDataInvalid(
            f"The {codec.name} decoder refused the frame: {str(error)[:200]}",
            where="Pixel Data (7FE0,0010)",
            hint="The pixel data is damaged, or the transfer syntax does not fit it.",
        ) from error
    return _conform(decoded, pixels)


def check_decodable(pixels: PixelDescription) -> None:
    """Pass if a frame of that description may be decoded; nothing is allocated.

    Raises
    ------
    PixelDataInvalid
        If the description cannot be true of an image, or the frame is over `MAX_DECODED_FRAME_BYTES`.
    """
    check_pixels(pixels, where="Image Pixel attributes (group 0028)")
    sample_type(pixels)
    if pixels.decoded_frame_bytes > MAX_DECODED_FRAME_BYTES:
        raise PixelDataInvalid(
            f"A frame of {pixels.rows} x {pixels.columns} pixels takes {pixels.decoded_frame_bytes} bytes",
            where="Rows (0028,0010), Columns (0028,0011)",
            hint=f"At most {MAX_DECODED_FRAME_BYTES} bytes a frame are decoded.",
        )


def frame_shape(pixels: PixelDescription) -> tuple[int, ...]:
    """(rows, columns) for one sample a pixel, else (rows, columns, samples)."""
    shape = (pixels.rows, pixels.columns)
    return shape if pixels.samples_per_pixel == 1 else (*shape, pixels.samples_per_pixel)


def _conform(decoded: DecodedSamples, pixels: PixelDescription) -> NDArray[Any]:
    """The decoded samples with the type, sign and colour space that the description promises."""
    samples, expected = decoded.samples, frame_shape(pixels)
    if samples.shape != expected:
        raise PixelDataInvalid(
            f"The frame decodes to the shape {samples.shape}, its attributes say {expected}",
            where="Pixel Data (7FE0,0010)",
            hint="The attributes and the pixel data are of different images.",
        )
    samples = samples.astype(sample_type(pixels), copy=False)
    bits = samples.dtype.itemsize * 8
    if decoded.significant_bits is not None and decoded.significant_bits < bits:
        shift = bits - decoded.significant_bits
        samples = np.left_shift(samples, shift - decoded.lowest_bit)
        np.right_shift(samples, shift, out=samples)
    if pixels.samples_per_pixel == 3 and decoded.photometric_interpretation in ("YBR_FULL", "YBR_FULL_422"):
        samples = ybr_to_rgb(samples)
    return samples
