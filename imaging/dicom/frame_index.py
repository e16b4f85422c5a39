"""Where each frame's bytes are, in a form small enough to keep in a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct, error

import numpy as np

from imaging.dicom.offset_table import Int64Array
from imaging.errors import DataLoss, InvalidArgument

_NO_FRAGMENTS: Int64Array = np.zeros(0, dtype=np.int64)


def _no_fragments() -> Int64Array:
    return _NO_FRAGMENTS


_HEADER = Struct("<2sBBBQQQQ")
"""Magic, version, source, flags, frames, value offset, bits of a native frame, fragments."""
_MAGIC = b"FI"
_VERSION = 1
_INFLATED, _ONE_EACH, _CONTIGUOUS, _WHOLE_WORDS = 1, 2, 4, 8


class FrameSource(IntEnum):
    """What told where the frames are."""

    NATIVE = 0
    BASIC_OFFSET_TABLE = 1
    EXTENDED_OFFSET_TABLE = 2
    ONE_FRAGMENT_EACH = 3
    SINGLE_FRAME = 4
    CODESTREAM_STARTS = 5
    VIDEO_STREAM = 6
    """The only "frame" is the whole video stream: its pictures have no ranges of their own."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """Byte ranges of the frames of one instance; `frame_index` counts from 0.

    Native pixel data: frame i takes `frame_bits` bits from bit `i * frame_bits` after `value_offset` on.
    Encapsulated pixel data: frame i takes the fragments `first_fragments[i]` to `first_fragments[i + 1] - 1`;
    `fragment_offsets` and `fragment_lengths` tell where their bytes are. The arrays are int64.
    """

    source: FrameSource
    frame_count: int
    inflated: bool = False
    """True if offsets count from the start of the inflated data set, not of the file."""
    value_offset: int = 0
    frame_bits: int = 0
    fragment_offsets: Int64Array = field(default_factory=_no_fragments)
    fragment_lengths: Int64Array = field(default_factory=_no_fragments)
    first_fragments: Int64Array = field(default_factory=_no_fragments)
    whole_words: bool = False
    """True if ranges begin and end at 16-bit words: 8-bit samples that explicit big endian wrote as OW have the bytes
    of each word swapped (PS3.5 A.3), so that a frame of odd length shares a word with its neighbour."""

    @property
    def encapsulated(self) -> bool:
        """True if the frames are in fragments."""
        return self.source is not FrameSource.NATIVE

    @property
    def byte_aligned(self) -> bool:
        """False if native frames begin within a byte: see `bit_offset`."""
        return self.frame_bits % 8 == 0

    def ranges(self, frame_index: int) -> list[tuple[int, int]]:
        """(offset, length) of each piece of the frame, in order. A native frame has one piece.

        Raises
        ------
        InvalidArgument
            If there is no such frame.
        """
        self._check(frame_index)
        if not self.encapsulated:
            first_bit, unit = frame_index * self.frame_bits, self._unit_bytes
            first = first_bit // (8 * unit) * unit
            last = -(-(first_bit + self.frame_bits) // (8 * unit)) * unit
            return [(self.value_offset + first, last - first)]
        begin, end = int(self.first_fragments[frame_index]), int(self.first_fragments[frame_index + 1])
        offsets = self.fragment_offsets[begin:end].tolist()
        return list(zip(offsets, self.fragment_lengths[begin:end].tolist(), strict=True))

    def frame_bytes(self, frame_index: int) -> int:
        """Bytes of the frame's pieces together."""
        self._check(frame_index)
        if not self.encapsulated:
            return self.ranges(frame_index)[0][1]
        begin, end = int(self.first_fragments[frame_index]), int(self.first_fragments[frame_index + 1])
        return int(self.fragment_lengths[begin:end].sum())

    def bit_offset(self, frame_index: int) -> int:
        """Bits at the start of its range that belong to the frame before; 0 but for odd 1-bit frames and odd words.

        Bit 0 is the least significant one (PS3.5 8.1.1).
        """
        self._check(frame_index)
        return 0 if self.encapsulated else frame_index * self.frame_bits % (8 * self._unit_bytes)

    def to_bytes(self) -> bytes:
        """A compact form: 37 bytes, and 4 a frame for encapsulated pixel data as a rule."""
        flags = (_INFLATED if self.inflated else 0) | (_WHOLE_WORDS if self.whole_words else 0)
        lengths = self.fragment_lengths
        if not self.encapsulated:
            flags |= _CONTIGUOUS
            return _HEADER.pack(
                _MAGIC, _VERSION, self.source, flags, self.frame_count, self.value_offset, self.frame_bits, 0
            )
        derived = _offsets_from_lengths(self.value_offset, lengths)
        contiguous = bool(np.array_equal(derived, self.fragment_offsets))
        one_each = bool(np.array_equal(self.first_fragments, np.arange(self.frame_count + 1)))
        flags |= (_CONTIGUOUS if contiguous else 0) | (_ONE_EACH if one_each else 0)
        header = _HEADER.pack(
            _MAGIC, _VERSION, self.source, flags, self.frame_count, self.value_offset, self.frame_bits, lengths.size
        )
        parts = [header, lengths.astype("<u4").tobytes()]
        if self.encapsulated and not contiguous:
            parts.append(self.fragment_offsets.astype("<i8").tobytes())
        if self.encapsulated and not one_each:
            parts.append(self.first_fragments.astype("<u4").tobytes())
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, packed: bytes) -> FrameIndex:
        """The index that `to_bytes` packed.

        Raises
        ------
        DataLoss
            If these are not the bytes of a frame index.
        """
        try:
            magic, version, source, flags, frames, value_offset, frame_bits, count = _HEADER.unpack_from(packed)
            if magic != _MAGIC or version != _VERSION:
                raise ValueError("another format")
            source = FrameSource(source)
            if source is FrameSource.NATIVE:
                words = bool(flags & _WHOLE_WORDS)
                return cls(source, frames, bool(flags & _INFLATED), value_offset, frame_bits, whole_words=words)
            position = _HEADER.size
            lengths = np.frombuffer(packed, "<u4", count, position).astype(np.int64)
            position += 4 * count
            if flags & _CONTIGUOUS:
                offsets = _offsets_from_lengths(value_offset, lengths)
            else:
                offsets = np.frombuffer(packed, "<i8", count, position).astype(np.int64)
                position += 8 * count
            if flags & _ONE_EACH:
                if frames != count:
                    raise ValueError("another number of frames than of fragments")
                first = np.arange(frames + 1, dtype=np.int64)
            else:
                first = np.frombuffer(packed, "<u4", frames + 1, position).astype(np.int64)
            if first[0] != 0 or first[-1] > count:
                raise ValueError("fragments that are not there")
        except (ValueError, error, OverflowError, MemoryError) as damage:
            raise DataLoss("A stored frame index is damaged", hint="Scan the instance again to rebuild it.") from damage
        return cls(source, frames, bool(flags & _INFLATED), value_offset, frame_bits, offsets, lengths, first)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrameIndex) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    @property
    def _unit_bytes(self) -> int:
        return 2 if self.whole_words else 1

    def _check(self, frame_index: int) -> None:
        if not 0 <= frame_index < self.frame_count:
            raise InvalidArgument(
                f"There is no frame number {frame_index + 1}, the instance has {self.frame_count}",
                hint="Frame numbers count from 1.",
            )


def _offsets_from_lengths(first: int, lengths: Int64Array) -> Int64Array:
    """Offsets of fragments that follow each other: 8 bytes of item header, values padded to an even length."""
    if lengths.size == 0:
        return _NO_FRAGMENTS
    steps = lengths[:-1] + (lengths[:-1] & 1) + 8
    return first + np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(steps)))
