"""Native pixel data: integers of 1, 8, 16, 32 and 64 bit, float and double (PS3.5 8.1, A.1 to A.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.codecs.decoded_samples import DecodedSamples
from imaging.codecs.sample_type import sample_type
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import TransferSyntax
from imaging.errors import PixelDataInvalid


def decode(
    frame_bytes: bytes | bytearray | memoryview,
    syntax: TransferSyntax,
    pixels: PixelDescription,
    *,
    bit_offset: int = 0,
    swapped_words: bool = False,
) -> DecodedSamples:
    """The samples of one native frame, where possible as a view of `frame_bytes` without a copy.

    Parameters
    ----------
    frame_bytes
        The frame's bytes; one byte more, the padding to an even length, is let pass.
    bit_offset
        How many bits come before the frame: frames of 1-bit samples follow each other without padding (PS3.5 8.1.1).
        With `swapped_words` it may be 8.
    swapped_words
        True for 8-bit samples that explicit big endian wrote as OW: each pair of bytes is swapped (PS3.5 A.3). A frame
        that ends or begins in the middle of a pair needs the other byte too (the latter with a `bit_offset` of 8).

    Raises
    ------
    PixelDataInvalid
        If there are fewer or more bytes than the description needs.
    """
    needed = (pixels.native_frame_bits + bit_offset + 7) // 8
    if swapped_words and pixels.bits_allocated == 8:
        needed += needed % 2
    if not needed <= len(frame_bytes) <= needed + needed % 2:
        raise PixelDataInvalid(
            f"A frame of {len(frame_bytes)} bytes where {pixels.rows} rows x {pixels.columns} columns x"
            f" {pixels.samples_per_pixel} samples of {pixels.bits_allocated} bits take {needed}",
            where="Pixel Data (7FE0,0010)",
            hint="Rows, Columns, Samples per Pixel or Bits Allocated is wrong, or the pixel data was cut.",
        )
    if pixels.bits_allocated == 1:
        return DecodedSamples(_unpack_bits(frame_bytes, pixels, bit_offset), pixels.photometric_interpretation)

    stored_type = sample_type(pixels).newbyteorder("<" if syntax.pixels_little_endian else ">")
    if swapped_words and pixels.bits_allocated == 8:
        frame_bytes = np.frombuffer(frame_bytes, np.uint16, needed // 2).byteswap().tobytes()
    samples: NDArray[Any] = np.frombuffer(frame_bytes, stored_type, pixels.native_samples_per_frame, bit_offset // 8)
    if not stored_type.isnative:
        samples = samples.astype(stored_type.newbyteorder("="))

    interpretation = pixels.photometric_interpretation
    if interpretation == "YBR_FULL_422" and pixels.samples_per_pixel == 3:
        samples, interpretation = _expand_422(samples, pixels), "YBR_FULL"
    return DecodedSamples(
        _arrange(samples, pixels, interpretation),
        interpretation,
        None if pixels.is_float or pixels.bits_stored == pixels.bits_allocated else pixels.bits_stored,
        pixels.lowest_bit(pixels.bits_allocated),
    )


def encode(samples: NDArray[Any], syntax: TransferSyntax, pixels: PixelDescription) -> bytes:
    """The bytes of one frame, little endian unless the syntax has big-endian pixels, without padding to even length."""
    if pixels.samples_per_pixel > 1 and pixels.planar_configuration == 1:
        samples = np.moveaxis(samples, -1, 0)
    if pixels.bits_allocated == 1:
        return np.packbits(samples.ravel(), bitorder="little").tobytes()
    stored_type = samples.dtype.newbyteorder("<" if syntax.pixels_little_endian else ">")
    return samples.astype(stored_type, copy=False).tobytes()


def _unpack_bits(
    frame_bytes: bytes | bytearray | memoryview, pixels: PixelDescription, bit_offset: int
) -> NDArray[Any]:
    bits = np.unpackbits(np.frombuffer(frame_bytes, np.uint8), bitorder="little")
    return _arrange(bits[bit_offset : bit_offset + pixels.samples_per_frame], pixels, pixels.photometric_interpretation)


def _expand_422(samples: NDArray[Any], pixels: PixelDescription) -> NDArray[Any]:
    """Y1 Y2 B R -> Y1 B R Y2 B R (PS3.3 C.7.6.3.1.2)."""
    if pixels.samples_per_frame % 2:
        raise PixelDataInvalid(
            f"YBR_FULL_422 with an odd number of pixels ({pixels.rows} x {pixels.columns})",
            where="Photometric Interpretation (0028,0004)",
            hint="Two neighbouring pixels share their chrominance, so Columns must be even.",
        )
    pairs = samples.reshape(-1, 4)
    full = np.empty((len(pairs), 2, 3), samples.dtype)
    full[:, :, 0] = pairs[:, :2]
    full[:, :, 1] = pairs[:, 2:3]
    full[:, :, 2] = pairs[:, 3:4]
    return full.ravel()


def _arrange(samples: NDArray[Any], pixels: PixelDescription, interpretation: str) -> NDArray[Any]:
    """Shape (rows, columns[, samples]) out of the order in which the samples were stored."""
    if pixels.samples_per_pixel == 1:
        return samples.reshape(pixels.rows, pixels.columns)
    was_422 = interpretation != pixels.photometric_interpretation
    if pixels.planar_configuration == 1 and not was_422:
        planes = samples.reshape(pixels.samples_per_pixel, pixels.rows, pixels.columns)
        return np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return samples.reshape(pixels.rows, pixels.columns, pixels.samples_per_pixel)
