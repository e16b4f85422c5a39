"""JPEG 2000, reversible and irreversible, by OpenJPEG (PS3.5 8.2.4, A.4.4)."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from imaging.codecs.decoded_samples import DecodedSamples
from imaging.codecs.j2k_header import J2kHeader, check_j2k_header, read_j2k_header
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import TransferSyntax
from imaging.errors import InvalidArgument

_UNDONE_TRANSFORMS = ("YBR_RCT", "YBR_ICT")


def decode(frame_bytes: bytes, syntax: TransferSyntax, pixels: PixelDescription) -> DecodedSamples:
    """The samples of one JPEG 2000 frame, after the inverse of the codestream's own colour transform.

    Raises
    ------
    PixelDataInvalid
        If the codestream contradicts the attributes, or was cut.
    """
    header = read_j2k_header(frame_bytes)
    check_j2k_header(header, pixels)
    return described(imagecodecs.jpeg2k_decode(frame_bytes, planar=False), header, pixels)


def described(samples: NDArray[Any], header: J2kHeader, pixels: PixelDescription) -> DecodedSamples:
    """The samples with what their codestream says of them; the same for JPEG 2000 and HTJ2K."""
    declared = pixels.photometric_interpretation
    # Where codestream and Pixel Representation disagree on the sign, the bits are right and the sign is not.
    lowest_bit = pixels.lowest_bit(header.precision)
    is_cut = lowest_bit or header.is_signed != bool(pixels.pixel_representation)
    return DecodedSamples(
        samples,
        "RGB" if declared in _UNDONE_TRANSFORMS else declared,
        min(header.precision, pixels.bits_stored) if is_cut else None,
        lowest_bit,
    )


def encode(samples: NDArray[Any], syntax: TransferSyntax, pixels: PixelDescription) -> bytes:
    """One frame in reversible JPEG 2000, precision as Bits Stored; YBR_RCT asks for the reversible colour transform.

    Raises
    ------
    InvalidArgument
        If the samples have more than 16 bits.
    """
    check_encodable(pixels)
    codestream = imagecodecs.jpeg2k_encode(
        np.ascontiguousarray(samples),
        level=0,
        codecformat="j2k",
        bitspersample=pixels.bits_stored,
        reversible=True,
        mct=pixels.photometric_interpretation == "YBR_RCT",
        planar=False,
    )
    return bytes(codestream)


def check_encodable(pixels: PixelDescription) -> None:
    """Pass if JPEG 2000 as we write it can hold such samples.

    Raises
    ------
    InvalidArgument
        If the samples have more than 16 bits.
    """
    if pixels.bits_allocated not in (8, 16) or pixels.is_float:
        raise InvalidArgument(
            f"JPEG 2000 is not written for samples of {pixels.bits_allocated} bits",
            where="Bits Allocated (0028,0100)",
            hint="Encode integers of 8 or 16 bits, or choose Explicit VR Little Endian.",
        )
