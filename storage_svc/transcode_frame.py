"""One frame in a transfer syntax that the caller takes: decoded, and encoded anew without loss."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from imaging.codecs.encode import encode_frame
from imaging.codecs.registry import CODECS
from imaging.codecs.sandbox import DecodePool
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    PixelFamily,
    transfer_syntax,
)
from imaging.errors import InvalidArgument, UnsupportedTransferSyntax
from storage_svc.frame_pixels import frame_pixels
from storage_svc.frame_source import StoredFrame

PLAIN: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""Their native pixels are the same bytes."""

_WRITTEN: Final = frozenset(uid for uid, codec in CODECS.items() if codec.encode and transfer_syntax(uid).encapsulated)
_NEVER_DECODED: Final = frozenset({PixelFamily.MPEG, PixelFamily.REFERENCED})
_REVERSIBLE_COLOUR: Final = frozenset({PixelFamily.JPEG_2000, PixelFamily.HTJ2K})
"""They encode RGB by a reversible colour transform, which makes it smaller (PS3.5 8.2.4)."""


def target_syntax(stored_uid: str, accept: Collection[str], *, where: str) -> str:
    """The transfer syntax in which a caller gets an object or frame: as kept, or else the first that can be written.

    Parameters
    ----------
    accept
        In the caller's order; empty: anything.

    Raises
    ------
    UnsupportedTransferSyntax
        If there is none.
    """
    if not accept or stored_uid in accept:
        return stored_uid
    if transfer_syntax(stored_uid).family not in _NEVER_DECODED:
        found = next((uid for uid in accept if uid in PLAIN or uid in _WRITTEN), None)
        if found is not None:
            return found
    raise UnsupportedTransferSyntax(
        f"It is kept in {transfer_syntax(stored_uid).name}, and cannot be given in an accepted transfer syntax",
        where=where,
        hint="Accept it as it is kept, or (but for videos) Explicit VR Little Endian.",
        metadata={"transfer_syntax_uid": stored_uid},
    )


def transcoded_frame(frame: StoredFrame, target_uid: str, pool: DecodePool) -> tuple[PixelDescription, bytes]:
    """The description of a frame in that transfer syntax, and its bytes; blocks.

    Stored values stay what they are, but that YCbCr becomes RGB.

    Raises
    ------
    PixelDataInvalid
        If it cannot be decoded.
    UnsupportedTransferSyntax
        If its samples do not fit into that transfer syntax.
    """
    samples = frame_pixels(
        bytes(frame.content),
        frame.transfer_syntax_uid,
        frame.pixels,
        pixel_vr=frame.pixel_vr,
        bit_offset=frame.bit_offset,
        pool=pool,
    )
    syntax = transfer_syntax(target_uid)
    colour = frame.pixels.samples_per_pixel > 1
    interpretation = frame.pixels.photometric_interpretation
    if colour and interpretation.startswith("YBR"):
        interpretation = "RGB"
    if colour and interpretation == "RGB" and syntax.family in _REVERSIBLE_COLOUR:
        interpretation = "YBR_RCT"
    described = replace(
        frame.pixels,
        photometric_interpretation=interpretation,
        planar_configuration=0 if colour else None,
        bits_allocated=1 if frame.pixels.bits_allocated == 1 else samples.dtype.itemsize * 8,
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
