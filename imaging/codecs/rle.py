"""RLE Lossless: one PackBits segment a byte plane (PS3.5 Annex G)."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from imaging.codecs.decoded_samples import DecodedSamples
from imaging.codecs.sample_type import sample_type
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import TransferSyntax
from imaging.errors import PixelDataInvalid

_HEADER_BYTES = 64
_MAX_SEGMENTS = 15
_LARGEST_SURPLUS = 65536


def decode(frame_bytes: bytes, syntax: TransferSyntax, pixels: PixelDescription) -> DecodedSamples:
    """The samples of one RLE frame.

    Raises
    ------
    PixelDataInvalid
        If the segments are not one for each byte of a sample, or one of them lies outside the frame or is too short.
    """
    stored_type = sample_type(pixels)
    if pixels.bits_allocated == 1:
        raise _invalid("RLE of 1-bit samples is not defined", "Store 1-bit samples natively or deflated.")
    segments = _segments(frame_bytes, pixels.samples_per_pixel * stored_type.itemsize)
    plane_pixels = pixels.rows * pixels.columns
    # Axis 1 counts the bytes of a sample from the most significant one (PS3.5 G.2).
    planes = np.empty((pixels.samples_per_pixel, stored_type.itemsize, plane_pixels), np.uint8)
    for number, (plane, segment) in enumerate(zip(planes.reshape(-1, plane_pixels), segments, strict=True), start=1):
        # Some writers pad a segment past the image; that much is let pass and dropped.
        decoded = imagecodecs.packbits_decode(segment, out=plane_pixels + _LARGEST_SURPLUS)
        if len(decoded) < plane_pixels:
            raise _invalid(
                f"RLE segment {number} holds {len(decoded)} of {plane_pixels} bytes",
                "Rows or Columns is wrong, or the pixel data was cut.",
            )
        plane[:] = np.frombuffer(decoded, np.uint8, plane_pixels)
    interleaved = np.ascontiguousarray(np.transpose(planes, (2, 0, 1))).view(stored_type.newbyteorder(">"))
    samples = interleaved.astype(stored_type).reshape(pixels.rows, pixels.columns, pixels.samples_per_pixel)
    return DecodedSamples(
        samples[:, :, 0] if pixels.samples_per_pixel == 1 else samples,
        pixels.photometric_interpretation,
        None if pixels.bits_stored == pixels.bits_allocated else pixels.bits_stored,
        pixels.lowest_bit(pixels.bits_allocated),
    )


def encode(samples: NDArray[Any], syntax: TransferSyntax, pixels: PixelDescription) -> bytes:
    """One frame in RLE; each row is packed by itself and each segment is even in length, as PS3.5 G.3.1, G.4 ask."""
    planes = np.moveaxis(samples.reshape(pixels.rows, pixels.columns, pixels.samples_per_pixel), -1, 0)
    segments = []
    for plane in planes:
        big_endian = np.ascontiguousarray(plane).astype(plane.dtype.newbyteorder(">"))
        byte_planes = big_endian.view(np.uint8).reshape(pixels.rows, pixels.columns, plane.dtype.itemsize)
        for byte in range(plane.dtype.itemsize):
            rows = np.frombuffer(byte_planes[:, :, byte].tobytes(), np.uint8).reshape(pixels.rows, pixels.columns)
            packed = bytes(imagecodecs.packbits_encode(rows, axis=-1))
            segments.append(packed + b"\0" * (len(packed) % 2))
    if len(segments) > _MAX_SEGMENTS:
        raise _invalid(f"RLE needs {len(segments)} segments", f"At most {_MAX_SEGMENTS} are possible (PS3.5 G.5).")
    offsets = [_HEADER_BYTES]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    header = struct.pack("<16I", len(segments), *offsets, *[0] * (_MAX_SEGMENTS - len(offsets)))
    return b"".join((header, *segments))


def _segments(frame_bytes: bytes, expected: int) -> list[bytes]:
    if len(frame_bytes) < _HEADER_BYTES:
        raise _invalid(
            f"An RLE frame of {len(frame_bytes)} bytes", "Its header alone takes 64 bytes; the pixel data was cut."
        )
    count, *table = struct.unpack_from("<16I", frame_bytes)
    if count != expected:
        raise _invalid(
            f"{count} RLE segments where the header asks for {expected}",
            "There must be one for each byte of each sample: Samples per Pixel or Bits Allocated is wrong.",
        )
    bounds = [*table[:count], len(frame_bytes)]
    if bounds[0] < _HEADER_BYTES or any(start > end for start, end in pairwise(bounds)):
        raise _invalid("RLE segment offsets that do not grow or lie outside the frame", "The RLE header is damaged.")
    return [frame_bytes[start:end] for start, end in pairwise(bounds)]


def _invalid(what: str, hint: str) -> PixelDataInvalid:
    return PixelDataInvalid(what, where="Pixel Data (7FE0,0010)", hint=hint)
