"""Overlay planes drawn into a picture: graphics and regions of one bit a pixel (PS3.3 C.9.2, C.9.3).

Planes that stand in unused bits of the pixels (retired long ago) are not drawn.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from imaging.codecs.packed_bits import packed_bits
from imaging.dicom.header_value import first_number, numbers, whole_value
from imaging.render.lookup_table import is_little_endian

_GROUPS: Final = range(0x6000, 0x6020, 2)
_WHITE: Final = 255


def draw_overlay_planes(picture: NDArray[np.uint8], header: Dataset, frame_number: int = 1) -> NDArray[np.uint8]:
    """The picture with all overlay planes of a frame in white; itself if there are none.

    A plane whose size, place or bits contradict each other is left out.

    Parameters
    ----------
    picture
        uint8, shape (rows, columns) or (rows, columns, 3), of as many pixels as the frame; it is not changed.
    frame_number
        Counts from 1.
    """
    drawn: NDArray[np.uint8] | None = None
    for group in _GROUPS:
        plane = _plane(header, group << 16, frame_number)
        if plane is None:
            continue
        mask, top, left = plane
        rows, columns = picture.shape[:2]
        into = _within(top, mask.shape[0], rows), _within(left, mask.shape[1], columns)
        seen = mask[into[0].start - top : into[0].stop - top, into[1].start - left : into[1].stop - left]
        drawn = picture.copy() if drawn is None else drawn
        drawn[into][seen] = _WHITE
    return picture if drawn is None else drawn


def _plane(header: Dataset, group: int, frame_number: int) -> tuple[NDArray[np.bool_], int, int] | None:
    """The pixels of a plane for a frame, and in which row and column of the image it begins, counted from 0."""
    data: Any = whole_value(header, group | 0x3000)
    rows, columns = (int(first_number(header, group | element) or 0) for element in (0x0010, 0x0011))
    if not isinstance(data, bytes) or rows <= 0 or columns <= 0:
        return None
    count = int(first_number(header, group | 0x0015) or 1)
    first = int(first_number(header, group | 0x0051) or 1)
    # A plane of one frame without Image Frame Origin is for all frames.
    place = frame_number - first if count > 1 or first > 1 else 0
    begin, size = place * rows * columns, rows * columns
    if not 0 <= place < count or (begin + size + 7) // 8 > len(data):
        return None
    part = np.frombuffer(data, np.uint8)
    if not is_little_endian(header):
        part = part[: len(part) // 2 * 2].reshape(-1, 2)[:, ::-1].ravel()
    bits = packed_bits(part, begin, size)
    origin = numbers(header, group | 0x0050) or (1.0, 1.0)
    if len(bits) != size or len(origin) != 2:
        return None
    return bits.reshape(rows, columns) != 0, int(origin[0]) - 1, int(origin[1]) - 1


def _within(begin: int, length: int, limit: int) -> slice:
    """The part of the axis of an image that a plane covers."""
    start = min(max(begin, 0), limit)
    return slice(start, max(start, min(begin + length, limit)))
