"""Which fragments begin a frame, told by how a compressed image begins and ends."""

from __future__ import annotations

import numpy as np

from imaging.dicom.byte_source import Buffer
from imaging.dicom.fragments import Fragments
from imaging.dicom.offset_table import Int64Array
from imaging.dicom.transfer_syntax import PixelFamily

_JPEG_START = (b"\xff\xd8\xff",)
_JPEG_2000_START = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
_STARTS: dict[PixelFamily, tuple[bytes, ...]] = {
    PixelFamily.JPEG: _JPEG_START,
    PixelFamily.JPEG_LOSSLESS: _JPEG_START,
    PixelFamily.JPEG_LS: _JPEG_START,
    PixelFamily.JPEG_2000: _JPEG_2000_START,
    PixelFamily.HTJ2K: _JPEG_2000_START,
    PixelFamily.JPEG_XL: (b"\xff\x0a", b"\0\0\0\x0cJXL "),
}
_LONGEST_START = 8
_END_OF_IMAGE = b"\xff\xd9"
_END_WINDOW = 10
"""The end marker may be followed by padding; pydicom looks at the same ten bytes."""


def first_fragments_by_start(
    data: Buffer, fragments: Fragments, family: PixelFamily, number_of_frames: int
) -> Int64Array | None:
    """For each frame the index of its first fragment, then the number of fragments; None if it cannot be told.

    A fragment begins a frame if it begins as a codestream of that family does; failing that, if the fragment before it
    ends with the end-of-image marker. Either is believed only if it gives the declared number of frames.
    """
    by_start = _indices_of_starts(data, fragments, _STARTS.get(family, ()))
    for first in (by_start, _indices_after_ends(data, fragments)):
        if len(first) == number_of_frames and first[0] == 0:
            return np.array([*first, len(fragments.offsets)], dtype=np.int64)
    return None


def _indices_of_starts(data: Buffer, fragments: Fragments, starts: tuple[bytes, ...]) -> list[int]:
    if not starts:
        return []
    return [
        index
        for index, (offset, length) in enumerate(zip(fragments.offsets, fragments.lengths, strict=True))
        if bytes(data[offset : offset + min(length, _LONGEST_START)]).startswith(starts)
    ]


def _indices_after_ends(data: Buffer, fragments: Fragments) -> list[int]:
    first = [0]
    last = len(fragments.offsets) - 1
    for index, (offset, length) in enumerate(zip(fragments.offsets, fragments.lengths, strict=True)):
        end = offset + length
        if index < last and _END_OF_IMAGE in bytes(data[max(offset, end - _END_WINDOW) : end]):
            first.append(index + 1)
    return first
