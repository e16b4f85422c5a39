"""Decoded samples in another transfer syntax, and the description of the image that they then are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from numpy.typing import NDArray

from imaging.codecs.encode import encode_frame
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    PixelFamily,
    transfer_syntax,
)
from imaging.errors import InvalidArgument, UnsupportedTransferSyntax

PLAIN: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""Their native pixels are the same bytes."""

_REVERSIBLE_COLOUR: Final = frozenset({PixelFamily.JPEG_2000, PixelFamily.HTJ2K})
"""They encode RGB by a reversible colour transform, which makes it smaller (PS3.5 8.2.4)."""


def reencoded(samples: NDArray[Any], pixels: PixelDescription, target_uid: str) -> tuple[PixelDescription, bytes]:
    """The description and the bytes of a frame in that transfer syntax, without loss.

    Stored values stay what they are; RGB goes through the reversible colour transform where there is one.

    Parameters
    ----------
    samples
        What `imaging.codecs.decode.decode_frame` gave for `pixels`: YCbCr has become RGB.

    Raises
    ------
    UnsupportedTransferSyntax
        If they do not fit into that transfer syntax.
    """
    syntax = transfer_syntax(target_uid)
    colour = pixels.samples_per_pixel > 1
    interpretation = pixels.photometric_interpretation
    if colour and interpretation.startswith("YBR"):
        interpretation = "RGB"
    if colour and interpretation == "RGB" and syntax.family in _REVERSIBLE_COLOUR:
        interpretation = "YBR_RCT"
    described = replace(
        pixels,
        high_bit=pixels.bits_stored - 1,
        photometric_interpretation=interpretation,
        planar_configuration=0 if colour else None,
        bits_allocated=1 if pixels.bits_allocated == 1 else samples.dtype.itemsize * 8,
    )
    if syntax.encapsulated and described.bits_allocated == 1:
        raise _does_not_fit(target_uid, "one bit a pixel")
    try:
        # What is encoded are arrays that were checked, so that no foreign bytes are parsed here.
        return described, encode_frame(
            samples, EXPLICIT_VR_LITTLE_ENDIAN if target_uid in PLAIN else target_uid, described
        )
    except InvalidArgument as error:
        raise _does_not_fit(target_uid, error.what) from error


def _does_not_fit(target_uid: str, why: str) -> UnsupportedTransferSyntax:
    return UnsupportedTransferSyntax(
        f"The image cannot be encoded in {transfer_syntax(target_uid).name}: {why}",
        where="Accepted transfer syntaxes",
        hint="Accept Explicit VR Little Endian.",
        metadata={"transfer_syntax_uid": target_uid},
    )
