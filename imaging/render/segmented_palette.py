"""Segmented palette data: runs and slopes in place of single entries (PS3.3 C.7.9.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging.errors import PixelDataInvalid
from imaging.render.lookup_table import Descriptor

_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


def expand_segments(data: bytes, descriptor: Descriptor, keyword: str, *, little_endian: bool) -> NDArray[np.uint16]:
    """The entries that the segments stand for, shape (descriptor.entries,); never more than that are made.

    Raises
    ------
    PixelDataInvalid
        If a segment is damaged, or the segments give fewer entries than the descriptor tells.
    """
    is_wide = descriptor.bits > 8
    words = np.frombuffer(data, ("<u2" if little_endian else ">u2") if is_wide else "u1", len(data) >> is_wide).tolist()
    entries: list[int] = []
    starts: list[int] = []
    position = 0
    try:
        while len(entries) < descriptor.entries and position < len(words):
            starts.append(position)
            if words[position] == _INDIRECT:
                first = starts.index(_named_start(words, position, starts, is_wide=is_wide))
                for start in starts[first : first + words[position + 1]]:
                    _expand_one(words, start, entries, descriptor.entries)
                position += 4 if is_wide else 6
            else:
                position = _expand_one(words, position, entries, descriptor.entries)
    except (IndexError, ValueError) as error:
        raise PixelDataInvalid(
            f"{keyword} is damaged at entry {position}",
            where=keyword,
            hint="A segment goes past the data, is empty or of an unknown kind.",
        ) from error
    if len(entries) < descriptor.entries:
        raise PixelDataInvalid(
            f"{keyword} expands to {len(entries)} entries, its descriptor tells {descriptor.entries}",
            where=keyword,
            hint="The table was cut, or the descriptor is wrong.",
        )
    return np.array(entries, dtype=np.uint16)


def _expand_one(words: list[int], position: int, entries: list[int], limit: int) -> int:
    """Append the entries of one discrete or linear segment, up to `limit`; returns where the next one begins."""
    kind, length = words[position], words[position + 1]
    room = max(limit - len(entries), 0)
    if length == 0:
        raise ValueError("empty segment")  # a table of them could be copied for ever
    if kind == _DISCRETE:
        values = words[position + 2 : position + 2 + length]
        if len(values) != length:
            raise IndexError(position)
        entries.extend(values[:room])
        return position + 2 + length
    if kind != _LINEAR or not entries:
        raise ValueError(f"segment of kind {kind}")
    steps = np.linspace(entries[-1], words[position + 2], length + 1)[1:]
    entries.extend(np.around(steps).astype(int).tolist()[:room])
    return position + 3


def _named_start(words: list[int], position: int, starts: list[int], *, is_wide: bool) -> int:
    """The earlier segment that an indirect one names by its offset, least significant part first.

    The Standard counts bytes; some writers count entries, which is taken where only that hits a segment.
    """
    if not is_wide:
        return sum(words[position + 2 + byte] << 8 * byte for byte in range(4))
    offset = words[position + 2] | words[position + 3] << 16
    return offset // 2 if offset % 2 == 0 and offset // 2 in starts else offset
