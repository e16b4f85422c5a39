"""Walking a data set once: every element's place, every length checked against the bytes that are there.

Sequences are walked with an explicit stack, so that no nesting can exhaust the interpreter's. Nothing is decoded and no
value is copied (PS3.5 7.1 to 7.5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import NoReturn

from imaging.dicom.byte_source import Buffer
from imaging.dicom.fragments import Fragments, walk_fragments
from imaging.dicom.limits import ScanLimits
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.tag_path import place, tag_text
from imaging.dicom.value_representation import (
    FRAGMENT_VRS,
    LONG_LENGTH_VRS,
    SHORT_LENGTH_VRS,
    UNDEFINED_LENGTH,
    is_known_vr,
    sequence_tags,
)
from imaging.errors import InvalidDicom, LimitExceeded, TruncatedDicom

PIXEL_DATA_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
"""Pixel Data, Float Pixel Data, Double Float Pixel Data."""

_EXPLICIT = {True: Struct("<HH2sH").unpack_from, False: Struct(">HH2sH").unpack_from}
_IMPLICIT = {True: Struct("<HHI").unpack_from, False: Struct(">HHI").unpack_from}
_LONG = {True: Struct("<I").unpack_from, False: Struct(">I").unpack_from}

_FIRST_DATA_SET_GROUP = 0x0008
_DIRECTORY_GROUP = 0x0004


@dataclass(frozen=True, slots=True)
class ElementPlace:
    """Where one element is: offsets of its tag and of its value, the value's bytes, and its VR (empty if implicit)."""

    vr: bytes
    offset: int
    value_offset: int
    length: int


@dataclass(slots=True)
class WalkedDataSet:
    """The elements of the outermost level by tag (the first one of duplicates), and what was found on the way."""

    elements: dict[int, tuple[bytes, int, int, int]] = field(default_factory=dict)
    """Tag to (VR, offset, value offset, length); a value of undefined length has the length found by walking it."""
    duplicates: dict[int, list[tuple[bytes, int, int, int]]] = field(default_factory=dict)
    fragments: Fragments | None = None
    """Those of the outermost encapsulated pixel data."""
    element_count: int = 0

    def element(self, tag: int) -> ElementPlace | None:
        """The element's place, None if the data set does not have it."""
        found = self.elements.get(tag)
        return None if found is None else ElementPlace(*found)


@dataclass(slots=True)
class _Level:
    """A sequence or an item that is open, or the data set itself."""

    is_sequence: bool
    tag: int
    opened: int
    end: int
    undefined: bool
    implicit: bool
    little: bool
    items: int = 0


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
    __slots__ = ("data", "limits", "log", "note", "result", "stack", "stop")

    def __init__(self, data: Buffer, stop: int, limits: ScanLimits, log: WarningLog, note: str) -> None:
        self.data = data
        self.stop = stop
        self.limits = limits
        self.log = log
        self.note = note
        self.stack: list[_Level] = []
        self.result = WalkedDataSet()

    def run(self, start: int, implicit: bool, little: bool) -> WalkedDataSet:
        level = _Level(False, 0, start, self.stop, False, implicit, little)
        stack = self.stack
        position = start
        while True:
            if level.is_sequence:
                position, opened = self._next_item(position, level)
            else:
                position, opened = self._elements(position, level)
            if opened is not None:
                stack.append(level)
                level = opened
            elif stack:
                level = stack.pop()
            else:
                return self.result

    def _elements(self, position: int, level: _Level) -> tuple[int, _Level | None]:
        """Walk elements until a sequence opens (it is returned) or the level ends (None)."""
        data, stop, end = self.data, self.stop, level.end
        implicit, little = level.implicit, level.little
        explicit_header, implicit_header, long_length = _EXPLICIT[little], _IMPLICIT[little], _LONG[little]
        short_vrs, long_vrs, sequences = SHORT_LENGTH_VRS, LONG_LENGTH_VRS, sequence_tags()
        found = None if self.stack else self.result.elements
        result = self.result
        count, most = result.element_count, self.limits.max_elements
        vr = b""
        while position < end:
            offset = position
            if offset + 8 > end:
                self._refuse_header(offset, end, level)
            if implicit:
                group, number, length = implicit_header(data, offset)
                position = offset + 8
            else:
                group, number, vr, length = explicit_header(data, offset)
                position = offset + 8
                if vr in short_vrs:
                    pass
                elif vr in long_vrs:
                    if offset + 12 > end:
                        self._refuse_header(offset, end, level)
                    (length,) = long_length(data, position)
                    position = offset + 12
                elif group != 0xFFFE:
                    if offset != level.opened or not self._switch_to_implicit(offset, vr, level):
                        self._refuse_vr(group << 16 | number, offset, level)
                    implicit = True
                    vr = b""
                    position = offset
                    continue
            tag = group << 16 | number
            count += 1
            if count > most:
                self._refuse_count(tag, offset, level)
            if group == 0xFFFE:
                result.element_count = count
                return self._close_item(tag, offset, level), None
            if length == UNDEFINED_LENGTH and (implicit or vr in long_vrs):
                result.element_count = count
                if (tag in PIXEL_DATA_TAGS) if implicit else (vr in FRAGMENT_VRS):
                    position = self._fragments(tag, vr, offset, position, level)
                    continue
                if not implicit and vr != b"SQ" and vr != b"UN":
                    self._refuse_undefined(tag, offset, level)
                self._note_element(tag, vr, offset, position, 0, level)
                # UN of undefined length holds implicit VR little endian, whatever is around it (PS3.5 6.2.2).
                unknown = vr == b"UN"
                return position, self._open_sequence(
                    tag, position, end, True, implicit or unknown, little or unknown, offset, level
                )
            value_offset = position
            position += length
            if position > end:
                self._refuse_length(tag, vr, offset, value_offset, length, end, level)
            if length & 1:
                self._note_odd(tag, offset, length, level)
            if found is not None:
                if group < _FIRST_DATA_SET_GROUP and group != _DIRECTORY_GROUP:
                    self._refuse_group(tag, offset, level)
                if tag in found:
                    self._note_duplicate(tag, vr, offset, value_offset, length)
                else:
                    found[tag] = (vr, offset, value_offset, length)
            if vr == b"SQ" or (implicit and tag in sequences):
                result.element_count = count
                return value_offset, self._open_sequence(
                    tag, value_offset, position, False, implicit, little, offset, level
                )
        result.element_count = count
        if level.undefined:
            self._refuse_unclosed(level, "item")
        if position > stop:  # pragma: no cover - every length was checked above
            raise AssertionError(position)
        return position, None

    def _next_item(self, position: int, level: _Level) -> tuple[int, _Level | None]:
        """Open the next item (it is returned), or close the sequence (None)."""
        end = level.end
        if position == end:
            if level.undefined:
                self._refuse_unclosed(level, "sequence")
            return position, None
        if position + 8 > end:
            self._refuse_header(position, end, level)
        group, number, length = _IMPLICIT[level.little](self.data, position)
        if group != 0xFFFE or number not in (0xE000, 0xE0DD):
            self._refuse_item(group << 16 | number, position, level)
        if number == 0xE0DD:
            if not level.undefined:
                self._refuse_item(0xFFFEE0DD, position, level)
            self._note_delimiter(length, position, level)
            return position + 8, None
        level.items += 1
        self.result.element_count += 1
        if self.result.element_count > self.limits.max_elements:
            self._refuse_count(0xFFFEE000, position, level)
        opened = position + 8
        if length == UNDEFINED_LENGTH:
            return opened, _Level(False, level.tag, opened, end, True, level.implicit, level.little)
        if opened + length > end:
            self._refuse_length(0xFFFEE000, b"", position, opened, length, end, level)
        return opened, _Level(False, level.tag, opened, opened + length, False, level.implicit, level.little)

    def _open_sequence(
        self,
        tag: int,
        position: int,
        end: int,
        undefined: bool,
        implicit: bool,
        little: bool,
        offset: int,
        level: _Level,
    ) -> _Level:
        # The stack holds data set, sequence, item, sequence, item ...: each sequence that is open adds two.
        depth = (len(self.stack) + 2) // 2
        if depth > self.limits.max_depth:
            raise LimitExceeded(
                f"Sequences are nested more than {self.limits.max_depth} deep",
                where=self._where(tag, offset, level),
                hint="No real object needs this depth: correct it at the source, or raise max_depth.",
            )
        if depth == self.limits.warn_depth + 1:
            message = f"Sequences are nested more than {self.limits.warn_depth} deep"
            self.log.add("depth", self._where(tag, offset, level), message)
        return _Level(True, tag, position, end, undefined, implicit, little)

    def _close_item(self, tag: int, offset: int, level: _Level) -> int:
        """The position after an item delimiter; anything else in group FFFE is refused."""
        if tag != 0xFFFEE00D or not level.undefined:
            raise InvalidDicom(
                f"{tag_text(tag)} stands where an element was expected",
                where=self._where(tag, offset, level),
                hint="An item or sequence is closed that is not open, or a length is wrong: correct it at the source.",
            )
        _, _, length = _IMPLICIT[level.little](self.data, offset)
        self._note_delimiter(length, offset, level)
        return offset + 8

    def _switch_to_implicit(self, offset: int, vr: bytes, level: _Level) -> bool:
        """True if an item in an explicit data set is written as implicit VR, as some makers' private sequences are."""
        if not self.stack or (vr.isalpha() and vr.isupper()):
            return False
        level.implicit = True
        message = "An item is encoded as implicit VR inside an explicit VR data set"
        self.log.add("implicit_item", self._where(None, offset, level), message)
        return True

    def _fragments(self, tag: int, vr: bytes, offset: int, position: int, level: _Level) -> int:
        element = place(tag, offset, self._parents(level)).rpartition(", byte")[0]
        fragments = walk_fragments(
            self.data, position, level.end, element=element, note=self.note, limits=self.limits, log=self.log
        )
        if not self.stack and tag in PIXEL_DATA_TAGS and self.result.fragments is None:
            self.result.fragments = fragments
        self._note_element(tag, vr, offset, position, fragments.end - 8 - position, level)
        return fragments.end

    # Oddities that are told and passed.

    def _note_element(self, tag: int, vr: bytes, offset: int, value_offset: int, length: int, level: _Level) -> None:
        if self.stack:
            return
        if tag >> 16 < _FIRST_DATA_SET_GROUP and tag >> 16 != _DIRECTORY_GROUP:
            self._refuse_group(tag, offset, level)
        if tag in self.result.elements:
            self._note_duplicate(tag, vr, offset, value_offset, length)
        else:
            self.result.elements[tag] = (vr, offset, value_offset, length)

    def _note_duplicate(self, tag: int, vr: bytes, offset: int, value_offset: int, length: int) -> None:
        if not self.log.is_full:
            message = "The element is in the data set more than once; the first one counts"
            self.log.add("duplicate_tag", place(tag, offset, note=self.note), message)
        self.result.duplicates.setdefault(tag, []).append((vr, offset, value_offset, length))

    def _note_odd(self, tag: int, offset: int, length: int, level: _Level) -> None:
        if not self.log.is_full:
            self.log.add(
                "odd_length", self._where(tag, offset, level), f"The value has an odd length of {length} bytes"
            )

    def _note_delimiter(self, length: int, offset: int, level: _Level) -> None:
        if length:
            self.log.add("delimiter_length", self._where(None, offset, level), "A delimiter has a length other than 0")

    # Refusals.

    def _parents(self, level: _Level) -> list[tuple[int, int]]:
        return [(each.tag, each.items) for each in (*self.stack, level) if each.is_sequence]

    def _where(self, tag: int | None, offset: int, level: _Level) -> str:
        return place(tag, offset, self._parents(level), note=self.note)

    def _refuse_header(self, offset: int, end: int, level: _Level) -> NoReturn:
        where = self._where(None, offset, level)
        if end == self.stop:
            what = f"{end - offset} bytes are left, too few for an element"
            raise TruncatedDicom(what, where=where, hint="Send the file again: its end is missing.")
        what = f"{end - offset} bytes are left in the item or sequence, too few for an element"
        raise InvalidDicom(what, where=where, hint="A length is wrong: correct it at the source.")

    def _refuse_length(
        self, tag: int, vr: bytes, offset: int, value_offset: int, length: int, end: int, level: _Level
    ) -> NoReturn:
        where = self._where(tag, offset, level)
        there = end - value_offset
        if level.implicit and offset == level.opened and is_known_vr(bytes(self.data[offset + 4 : offset + 6])):
            raise InvalidDicom(
                "The data set is encoded with explicit VR, although its transfer syntax says implicit",
                where=where,
                hint="Correct the Transfer Syntax UID (0002,0010) at the source.",
            )
        if value_offset + length > self.stop:
            raise TruncatedDicom(
                f"The element declares {length} bytes, {there} are there",
                where=where,
                hint="Send the file again: its end is missing, or this length is wrong.",
            )
        raise InvalidDicom(
            f"The element declares {length} bytes, its item or sequence has only {there} left",
            where=where,
            hint="A length is wrong: correct it at the source.",
        )

    def _refuse_vr(self, tag: int, offset: int, level: _Level) -> NoReturn:
        if not self.stack and offset == level.opened:
            what = "The first element has no explicit VR, although the transfer syntax says explicit"
            hint = "Correct the Transfer Syntax UID (0002,0010), or send the file again."
        else:
            what = "The element has no VR of the Standard"
            hint = "A length before it is wrong, or the VR is: correct it at the source."
        raise InvalidDicom(what, where=self._where(tag, offset, level), hint=hint)

    def _refuse_group(self, tag: int, offset: int, level: _Level) -> NoReturn:
        raise InvalidDicom(
            f"Group {tag >> 16:04X} cannot be in a data set",
            where=self._where(tag, offset, level),
            hint="The bytes are not a data set in the declared transfer syntax, or start at the wrong place.",
        )

    def _refuse_undefined(self, tag: int, offset: int, level: _Level) -> NoReturn:
        raise InvalidDicom(
            "The element has an undefined length, which its VR does not allow",
            where=self._where(tag, offset, level),
            hint="Only SQ, UN and encapsulated pixel data may have an undefined length (PS3.5 7.1.2).",
        )

    def _refuse_count(self, tag: int, offset: int, level: _Level) -> NoReturn:
        raise LimitExceeded(
            f"The data set has more than {self.limits.max_elements} elements",
            where=self._where(tag, offset, level),
            hint="Raise max_elements if the source is trusted.",
        )

    def _refuse_unclosed(self, level: _Level, kind: str) -> NoReturn:
        where = self._where(level.tag if level.is_sequence else None, level.opened, level)
        what = f"The {kind} of undefined length that opens here is never closed"
        if level.end == self.stop:
            raise TruncatedDicom(what, where=where, hint="Send the file again: its end is missing.")
        raise InvalidDicom(what, where=where, hint="Its delimiter is missing: correct it at the source.")

    def _refuse_item(self, tag: int, offset: int, level: _Level) -> NoReturn:
        raise InvalidDicom(
            f"Expected an item of a sequence, found {tag_text(tag)}",
            where=self._where(None, offset, level),
            hint="A length before it is wrong, or the element is no sequence: correct it at the source.",
        )
