"""From the pixel data element to the frame index: tables where they are right, fragments where they are not."""

from __future__ import annotations

import numpy as np

from imaging.dicom.byte_source import Buffer
from imaging.dicom.codestream_start import first_fragments_by_start
from imaging.dicom.fragments import Fragments
from imaging.dicom.frame_index import FrameIndex, FrameSource
from imaging.dicom.offset_table import (
    Int64Array,
    basic_offset_table,
    extended_offset_table,
    first_fragments_of_table,
    trimmed_lengths,
)
from imaging.dicom.pixel_description import PixelDescription
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.transfer_syntax import PixelFamily, TransferSyntax

ValueRange = tuple[int, int]
"""Offset and length of a value."""


def native_frames(
    value_offset: int,
    length: int,
    pixels: PixelDescription,
    *,
    inflated: bool,
    whole_words: bool,
    where: str,
    log: WarningLog,
) -> FrameIndex:
    """The frames of native pixel data; only those that are wholly there, if it is too short.

    Parameters
    ----------
    whole_words
        See `FrameIndex.whole_words`.
    """
    expected = pixels.native_bytes
    count = pixels.number_of_frames
    if length < expected:
        count = min(count, length * 8 // pixels.native_frame_bits)
        message = f"The pixel data has {length} bytes, its attributes declare {expected}; {count} frames are whole"
        log.add("pixel_mismatch", where, message)
    elif length > expected + (expected & 1):
        log.add("pixel_padding", where, f"The pixel data has {length} bytes, its attributes declare {expected}")
    return FrameIndex(
        FrameSource.NATIVE, count, inflated, value_offset, pixels.native_frame_bits, whole_words=whole_words
    )


def encapsulated_frames(
    data: Buffer,
    fragments: Fragments,
    pixels: PixelDescription,
    syntax: TransferSyntax,
    *,
    extended: tuple[ValueRange, ValueRange | None] | None,
    inflated: bool,
    where: str,
    log: WarningLog,
) -> FrameIndex | None:
    """The frames of encapsulated pixel data, None if which fragments are whose cannot be told.

    Parameters
    ----------
    extended
        Where the values of (7FE0,0001) and (7FE0,0002) are, if the data set has them.
    """
    offsets = np.array(fragments.offsets, dtype=np.int64)
    lengths = np.array(fragments.lengths, dtype=np.int64)
    frames = pixels.number_of_frames
    if syntax.family is PixelFamily.MPEG:
        first: Int64Array | None = np.array([0, offsets.size], dtype=np.int64)
        source = FrameSource.VIDEO_STREAM
    else:
        first, source, lengths = _by_table(data, fragments, offsets, lengths, frames, extended, where, log)
        if first is None:
            first, source = _by_fragments(data, fragments, frames, syntax.family)
    if first is None or (offsets.size == 0):
        message = f"{frames} frames are declared, {offsets.size} fragments are there, and none tells whose it is"
        log.add("pixel_mismatch", where, message)
        return None
    count = first.size - 1
    if source is not FrameSource.VIDEO_STREAM and count != frames:
        log.add("pixel_mismatch", where, f"{frames} frames are declared, {count} are there")
    return FrameIndex(source, count, inflated, int(offsets[0]), 0, offsets, lengths, first)


def _by_table(
    data: Buffer,
    fragments: Fragments,
    offsets: Int64Array,
    lengths: Int64Array,
    frames: int,
    extended: tuple[ValueRange, ValueRange | None] | None,
    where: str,
    log: WarningLog,
) -> tuple[Int64Array | None, FrameSource, Int64Array]:
    """First fragments by the Extended, else the Basic Offset Table; None if there is no right one."""
    tags = offsets - 8
    if extended is not None:
        table = extended_offset_table(data, *extended[0])
        first = None if table is None else first_fragments_of_table(table, tags)
        if first is not None and first.size - 1 == frames == offsets.size:
            declared = None if extended[1] is None else extended_offset_table(data, *extended[1])
            trimmed = None if declared is None else trimmed_lengths(declared, lengths)
            if trimmed is None:
                message = "The Extended Offset Table Lengths are not those of the fragments and are not used"
                log.add("offset_table", where, message)
            return first, FrameSource.EXTENDED_OFFSET_TABLE, lengths if trimmed is None else trimmed
        message = "The Extended Offset Table does not fit the fragments and is not used"
        log.add("offset_table", where, message)
    basic = basic_offset_table(data, fragments)
    if basic.size or fragments.table_length:
        first = first_fragments_of_table(basic, tags)
        if first is not None and first.size - 1 == frames and fragments.table_length % 4 == 0:
            return first, FrameSource.BASIC_OFFSET_TABLE, lengths
        message = "The Basic Offset Table does not fit the fragments and is not used"
        log.add("offset_table", where, message)
    return None, FrameSource.BASIC_OFFSET_TABLE, lengths


def _by_fragments(
    data: Buffer, fragments: Fragments, frames: int, family: PixelFamily
) -> tuple[Int64Array | None, FrameSource]:
    """First fragments without a table (PS3.5 A.4): one each, all for one, or by how codestreams begin."""
    count = len(fragments.offsets)
    if frames == 1:
        return np.array([0, count], dtype=np.int64), FrameSource.SINGLE_FRAME
    if count <= frames:
        return np.arange(count + 1, dtype=np.int64), FrameSource.ONE_FRAGMENT_EACH
    return first_fragments_by_start(data, fragments, family, frames), FrameSource.CODESTREAM_STARTS
