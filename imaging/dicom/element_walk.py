"""Walking a data set once: every element's place, every length checked against the bytes that are there.

Sequences are walked with an explicit stack, so that no nesting can exhaust the interpreter's. Nothing is decoded and no
value is copied (PS3.5 7.1 to 7.5).
"""

from __future__ import annotations

from struct import Struct

from imaging.dicom.byte_source import Buffer
from imaging.dicom.fragments import walk_fragments
from imaging.dicom.limits import ScanLimits
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.standard_tables import SEQUENCE_TAGS
from imaging.dicom.tag_path import path, place
from imaging.dicom.value_representation import (
    FRAGMENT_VRS,
    LONG_LENGTH_VRS,
    SHORT_LENGTH_VRS,
    UNDEFINED_LENGTH,
)
from imaging.dicom.walk_refusal import WalkRefusal
from imaging.dicom.walked_data_set import ElementTuple, OpenLevel, WalkedDataSet

PIXEL_DATA_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
"""Pixel Data, Float Pixel Data, Double Float Pixel Data."""

_EXPLICIT = {True: Struct("<HH2sH").unpack_from, False: Struct(">HH2sH").unpack_from}
_IMPLICIT = {True: Struct("<HHI").unpack_from, False: Struct(">HHI").unpack_from}
_LONG = {True: Struct("<I").unpack_from, False: Struct(">I").unpack_from}

_ITEM = 0xE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xE0DD
_FIRST_DATA_SET_GROUP = 0x0008
_DIRECTORY_GROUP = 0x0004


def walk_data_set(
    data: Buffer,
    start: int,
    stop: int,
    *,
    implicit_vr: bool,
    little_endian: bool,
    limits: ScanLimits,
    log: WarningLog,
    note: str = "",
) -> WalkedDataSet:
    """Where the elements between `start` and `stop` are.

    Parameters
    ----------
    data
        The file, or the inflated data set.
    start, stop
        Offsets of the data set's first byte and of the first byte after it.
    note
        Said after byte offsets in errors.

    Raises
    ------
    TruncatedDicom
        If an element is cut off by `stop`.
    InvalidDicom
        If lengths contradict each other, or something stands where no element can.
    LimitExceeded
        If sequences are too deep or elements too many.
    """
    return _Walk(data, stop, limits, log, note).run(start, implicit_vr, little_endian)


class _Walk:
    """One walk: the levels that are open are on a stack, the innermost one is passed around."""

    __slots__ = ("data", "limits", "log", "note", "refuse", "repeated", "result", "stack", "stop")

    def __init__(self, data: Buffer, stop: int, limits: ScanLimits, log: WarningLog, note: str) -> None:
        self.data = data
        self.stop = stop
        self.limits = limits
        self.log = log
        self.note = note
        self.stack: list[OpenLevel] = []
        self.result = WalkedDataSet()
        self.repeated = 0
        self.refuse = WalkRefusal(data, stop, limits, self.stack, note)

    def run(self, start: int, implicit: bool, little: bool) -> WalkedDataSet:
        level = OpenLevel(False, 0, start, self.stop, False, implicit, little)
        stack = self.stack
        position = start
        while True:
            position, opened = (self._next_item if level.is_sequence else self._elements)(position, level)
            if opened is not None:
                stack.append(level)
                level = opened
            elif stack:
                level = stack.pop()
            else:
                return self.result

    def _elements(self, position: int, level: OpenLevel) -> tuple[int, OpenLevel | None]:
        """Walk elements until a sequence opens (it is returned) or the level ends (None)."""
        data, end, implicit, little = self.data, level.end, level.implicit, level.little
        explicit_header, implicit_header, long_length = _EXPLICIT[little], _IMPLICIT[little], _LONG[little]
        short_vrs, long_vrs, sequences = SHORT_LENGTH_VRS, LONG_LENGTH_VRS, SEQUENCE_TAGS
        result, outermost = self.result, not self.stack
        found, count, most = result.elements, result.element_count, self.limits.max_elements
        most_outermost = self.limits.max_outermost_elements
        vr = b""
        while position < end:
            offset = position
            if offset + 8 > end:
                self.refuse.header(offset, end, level)
            position = offset + 8
            if implicit:
                group, number, length = implicit_header(data, offset)
            else:
                group, number, vr, length = explicit_header(data, offset)
                if vr in long_vrs and group != 0xFFFE:
                    if offset + 12 > end:
                        self.refuse.header(offset, end, level)
                    (length,) = long_length(data, position)
                    position = offset + 12
                elif vr not in short_vrs and group != 0xFFFE:
                    if not self._switch_to_implicit(offset, vr, level):
                        self.refuse.vr(group << 16 | number, offset, level)
                    implicit, vr, position = True, b"", offset
                    continue
            tag = group << 16 | number
            count += 1
            if count > most:
                self.refuse.count(tag, offset, level)
            if group == 0xFFFE:
                result.element_count = count
                return self._close_item(tag, offset, level), None
            value_offset = position
            if length == UNDEFINED_LENGTH:
                result.element_count = count
                if (tag in PIXEL_DATA_TAGS) if implicit else (vr in FRAGMENT_VRS):
                    position = self._fragments(tag, vr, offset, value_offset, level)
                    continue
                if not implicit and vr != b"SQ" and vr != b"UN":
                    self.refuse.undefined(tag, offset, level)
                self._note_element(tag, (vr, offset, value_offset, 0), level)
                return value_offset, self._open_sequence(tag, vr, offset, value_offset, None, level)
            position = value_offset + length
            if position > end:
                self.refuse.length(tag, offset, value_offset, length, end, level)
            if length & 1:
                self._note_odd(tag, offset, length, level)
            if outermost:
                if tag in found or group < _FIRST_DATA_SET_GROUP:
                    self._note_element(tag, (vr, offset, value_offset, length), level)
                else:
                    found[tag] = (vr, offset, value_offset, length)
                    if len(found) > most_outermost:
                        self.refuse.outermost(tag, offset, level)
            if vr == b"SQ" or (implicit and tag in sequences):
                result.element_count = count
                return value_offset, self._open_sequence(tag, vr, offset, value_offset, position, level)
        result.element_count = count
        if level.undefined:
            self.refuse.unclosed(level)
        return position, None

    def _next_item(self, position: int, level: OpenLevel) -> tuple[int, OpenLevel | None]:
        """Open the next item (it is returned), or close the sequence (None)."""
        end = level.end
        if position == end:
            if level.undefined:
                self.refuse.unclosed(level)
            return position, None
        if position + 8 > end:
            self.refuse.header(position, end, level)
        group, number, length = _IMPLICIT[level.little](self.data, position)
        if group == 0xFFFE and number == _SEQUENCE_END and level.undefined:
            self._note_delimiter(length, position, level)
            return position + 8, None
        if group != 0xFFFE or number != _ITEM:
            self.refuse.item(group << 16 | number, position, level)
        level.items += 1
        self.result.element_count += 1
        if self.result.element_count > self.limits.max_elements:
            self.refuse.count(group << 16 | number, position, level)
        opened = position + 8
        if length == UNDEFINED_LENGTH:
            return opened, OpenLevel(False, level.tag, opened, end, True, level.implicit, level.little)
        if opened + length > end:
            self.refuse.length(group << 16 | number, position, opened, length, end, level)
        return opened, OpenLevel(False, level.tag, opened, opened + length, False, level.implicit, level.little)

    def _open_sequence(
        self, tag: int, vr: bytes, offset: int, value_offset: int, end: int | None, level: OpenLevel
    ) -> OpenLevel:
        """The sequence as a level; `end` is None if its length is undefined."""
        # The stack holds data set, sequence, item, sequence, item ...: each sequence that is open adds two.
        depth = len(self.stack) // 2 + 1
        if depth > self.limits.max_depth:
            self.refuse.depth(tag, offset, level)
        if depth == self.limits.warn_depth + 1:
            message = f"Sequences are nested more than {self.limits.warn_depth} deep"
            self.log.add("depth", self.refuse.where(tag, offset, level), message)
        # UN of undefined length holds implicit VR little endian, whatever is around it (PS3.5 6.2.2).
        unknown = vr == b"UN"
        implicit, little = level.implicit or unknown, level.little or unknown
        return OpenLevel(True, tag, value_offset, level.end if end is None else end, end is None, implicit, little)

    def _close_item(self, tag: int, offset: int, level: OpenLevel) -> int:
        """The position after an item delimiter; anything else in group FFFE is refused."""
        if tag != _ITEM_END or not level.undefined:
            self.refuse.delimiter(tag, offset, level)
        _, _, length = _IMPLICIT[level.little](self.data, offset)
        self._note_delimiter(length, offset, level)
        return offset + 8

    def _switch_to_implicit(self, offset: int, vr: bytes, level: OpenLevel) -> bool:
        """True if an item in an explicit data set is written as implicit VR, as some makers' private sequences are."""
        if not self.stack or offset != level.opened or (vr.isalpha() and vr.isupper()):
            return False
        level.implicit = True
        message = "An item is encoded as implicit VR inside an explicit VR data set"
        self.log.add("implicit_item", self.refuse.where(None, offset, level), message)
        return True

    def _fragments(self, tag: int, vr: bytes, offset: int, value_offset: int, level: OpenLevel) -> int:
        fragments = walk_fragments(
            self.data,
            value_offset,
            level.end,
            element=path(tag, self.refuse.parents(level)),
            note=self.note,
            limits=self.limits,
            log=self.log,
        )
        if not self.stack and tag in PIXEL_DATA_TAGS and self.result.fragments is None:
            self.result.fragments = fragments
        self._note_element(tag, (vr, offset, value_offset, fragments.end - 8 - value_offset), level)
        return fragments.end

    def _note_element(self, tag: int, element: ElementTuple, level: OpenLevel) -> None:
        """Remember an outermost element, or that it is there once more."""
        if self.stack:
            return
        if tag >> 16 < _FIRST_DATA_SET_GROUP and tag >> 16 != _DIRECTORY_GROUP:
            self.refuse.group(tag, element[1], level)
        if tag not in self.result.elements:
            self.result.elements[tag] = element
            return
        if not self.log.is_full:
            message = "The element is in the data set more than once; the first one counts"
            self.log.add("duplicate_tag", place(tag, element[1], note=self.note), message)
        self.repeated += 1
        if self.repeated > self.limits.max_outermost_elements:
            self.refuse.outermost(tag, element[1], level)
        self.result.duplicates.setdefault(tag, []).append(element)

    def _note_odd(self, tag: int, offset: int, length: int, level: OpenLevel) -> None:
        where = "" if self.log.is_full else self.refuse.where(tag, offset, level)
        self.log.add("odd_length", where, f"The value has an odd length of {length} bytes")

    def _note_delimiter(self, length: int, offset: int, level: OpenLevel) -> None:
        if length:
            where = "" if self.log.is_full else self.refuse.where(None, offset, level)
            self.log.add("delimiter_length", where, "A delimiter has a length other than 0")
