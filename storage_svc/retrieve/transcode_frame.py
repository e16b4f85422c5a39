"""One frame in a transfer syntax that the caller takes: decoded, and encoded anew without loss."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from imaging.codecs.reencode import PLAIN, reencoded
from imaging.codecs.registry import CODECS
from imaging.codecs.sandbox import DecodePool
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.transfer_syntax import PixelFamily, transfer_syntax
from imaging.errors import UnsupportedTransferSyntax
from storage_svc.retrieve.frame_pixels import frame_pixels
from storage_svc.retrieve.frame_source import StoredFrame

_WRITTEN: Final = frozenset(uid for uid, codec in CODECS.items() if codec.encode and transfer_syntax(uid).encapsulated)
_NEVER_DECODED: Final = frozenset({PixelFamily.MPEG, PixelFamily.REFERENCED})


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
    return reencoded(samples, frame.pixels, target_uid)
