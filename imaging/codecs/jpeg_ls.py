"""JPEG-LS, lossless and near-lossless, by CharLS (PS3.5 8.2.3, A.4.3)."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from imaging.codecs.decoded_samples import DecodedSamples
from imaging.codecs.jpeg import colour_space
from imaging.codecs.jpeg_header import SOF_JPEG_LS, check_jpeg_header, read_jpeg_header
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import TransferSyntax
from imaging.errors import InvalidArgument

_PROCESSES = frozenset({SOF_JPEG_LS})
_INTERLEAVED_BY_SAMPLE = 2
_SMALLEST_NARROW = 1024
"""Samples from which on a codestream of fewer bits than its container is written: the encoder that can do so has no
room for headers in smaller ones. Those get the precision of the container, which is true as well."""


def decode(frame_bytes: bytes, syntax: TransferSyntax, pixels: PixelDescription) -> DecodedSamples:
    """The samples of one JPEG-LS frame.

    Raises
    ------
    PixelDataInvalid
        If the codestream contradicts the attributes, or was cut.
    """
    header = read_jpeg_header(frame_bytes)
    check_jpeg_header(header, pixels, _PROCESSES, syntax.name)
    samples = imagecodecs.jpegls_decode(frame_bytes)
    if pixels.samples_per_pixel > 1 and header.components_in_scan == 1:
        samples = np.ascontiguousarray(np.moveaxis(samples, 0, -1))  # interleave mode 0 comes as planes
    # JPEG-LS knows no sign: two's complement of the codestream's precision (PS3.5 8.2.3), of whole cells that of the
    # values in them.
    lowest_bit = pixels.lowest_bit(header.precision)
    is_cut = bool(pixels.pixel_representation or lowest_bit)
    return DecodedSamples(
        samples,
        colour_space(header, pixels),
        min(header.precision, pixels.bits_stored) if is_cut else None,
        lowest_bit,
    )


def encode(samples: NDArray[Any], syntax: TransferSyntax, pixels: PixelDescription) -> bytes:
    """One frame in lossless JPEG-LS, with the precision that Bits Stored tells (see `_SMALLEST_NARROW`).

    Raises
    ------
    InvalidArgument
        If the samples have more than 16 bits, or fewer than 2.
    """
    if not 2 <= pixels.bits_stored <= 16:
        raise InvalidArgument(
            f"JPEG-LS cannot hold samples of {pixels.bits_stored} bits",
            where="Bits Stored (0028,0101)",
            hint="Encode 2 to 16 bits, or choose Explicit VR Little Endian.",
        )
    container: type[np.unsignedinteger[Any]] = np.uint8 if pixels.bits_stored <= 8 else np.uint16
    if pixels.bits_stored not in (8, 16) and samples.size >= _SMALLEST_NARROW:
        narrow = samples.astype(np.uint16) & np.uint16((1 << pixels.bits_stored) - 1)
        return _encode_narrow(narrow.astype(container).tobytes(), pixels)
    room = 2 * samples.nbytes + 4096  # noise grows a little, which the encoder's own estimate forgets
    return bytes(imagecodecs.jpegls_encode(samples.astype(container), level=0, out=room))


def _encode_narrow(samples: bytes, pixels: PixelDescription) -> bytes:
    # Imported here because nothing else needs it: imagecodecs' encoder cannot be told a precision such as 12 bits.
    import jpeg_ls  # type: ignore[import-untyped]  # it has no type information

    interleave_mode = _INTERLEAVED_BY_SAMPLE if pixels.samples_per_pixel > 1 else None
    size = (pixels.rows, pixels.columns, pixels.samples_per_pixel, pixels.bits_stored)
    return bytes(jpeg_ls.encode_buffer(samples, *size, interleave_mode=interleave_mode))
