"""The Basic and the Extended Offset Table, believed only where they agree with the fragments (PS3.5 A.4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging.dicom.byte_source import Buffer
from imaging.dicom.fragments import Fragments

Int64Array = NDArray[np.int64]


def basic_offset_table(data: Buffer, fragments: Fragments) -> Int64Array:
    """Offsets of the frames' first item tags, relative to the first fragment's item tag; empty if there is no table."""
    length = fragments.table_length - fragments.table_length % 4
    raw = bytes(data[fragments.table_offset : fragments.table_offset + length])
    return np.frombuffer(raw, dtype="<u4").astype(np.int64)


def extended_offset_table(data: Buffer, value_offset: int, length: int) -> Int64Array | None:
    """The 64-bit numbers of (7FE0,0001) or (7FE0,0002); None if a number is beyond any file."""
    raw = bytes(data[value_offset : value_offset + length - length % 8])
    numbers = np.frombuffer(raw, dtype="<u8")
    if numbers.size and int(numbers.max()) > np.iinfo(np.int64).max:
        return None
    return numbers.astype(np.int64)


def first_fragments_of_table(table: Int64Array, fragment_tags: Int64Array) -> Int64Array | None:
    """For each frame the index of its first fragment, then the number of fragments; None if the table is wrong.

    Parameters
    ----------
    table
        Offsets of frames from the first fragment's item tag.
    fragment_tags
        Offsets of all fragments' item tags in the file, ascending.
    """
    if table.size == 0 or fragment_tags.size == 0 or int(table[0]) != 0:
        return None
    if table.size > 1 and int(np.diff(table).min()) <= 0:
        return None
    wanted = table + fragment_tags[0]
    first = np.searchsorted(fragment_tags, wanted)
    if int(first[-1]) >= fragment_tags.size or not np.array_equal(fragment_tags[first], wanted):
        return None
    return np.append(first, fragment_tags.size).astype(np.int64)


def trimmed_lengths(lengths: Int64Array, fragment_lengths: Int64Array) -> Int64Array | None:
    """The Extended Offset Table's lengths, which leave the padding byte out; None if they are not the fragments'."""
    if lengths.shape != fragment_lengths.shape:
        return None
    padding = fragment_lengths - lengths
    if padding.size and (int(padding.min()) < 0 or int(padding.max()) > 1):
        return None
    return lengths
