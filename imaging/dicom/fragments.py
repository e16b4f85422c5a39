"""The fragments of encapsulated pixel data: where each one's bytes are (PS3.5 A.4)."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from struct import Struct

from imaging.dicom.byte_source import Buffer
from imaging.dicom.limits import ScanLimits
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.tag_path import tag_text
from imaging.dicom.value_representation import UNDEFINED_LENGTH
from imaging.errors import InvalidDicom, LimitExceeded, TruncatedDicom

_ITEM = Struct("<HHI")


@dataclass(frozen=True, slots=True)
class Fragments:
    """The items of one encapsulated element. Offsets are those of the values; an item's tag stands 8 bytes before.

    `table_offset` and `table_length` are the Basic Offset Table's, the first item; `offsets` and `lengths` are the
    fragments' after it, as 64-bit integers; `end` is the first byte after the sequence delimitation item.
    """

    table_offset: int
    table_length: int
    offsets: array[int]
    lengths: array[int]
    end: int


def walk_fragments(
    data: Buffer, start: int, end: int, *, element: str, note: str, limits: ScanLimits, log: WarningLog
) -> Fragments:
    """The fragments from `start` to the sequence delimitation item.

    Parameters
    ----------
    start
        Offset of the first item's tag.
    end
        First byte that belongs no more to what holds the element.
    element
        The element's tag path, for errors.
    note
        Said after byte offsets in errors.

    Raises
    ------
    TruncatedDicom
        If a fragment or the delimiter is cut off by the end of the file.
    InvalidDicom
        If something else than an item stands there, or an item is longer than what holds it.
    LimitExceeded
        If there are more fragments than `limits.max_fragments`.
    """
    offsets = array("q")
    lengths = array("q")
    unpack = _ITEM.unpack_from
    stop = len(data)
    most = limits.max_fragments
    position = start
    odd = False
    while True:
        if position + 8 > end:
            _refuse_short(element, position, end, stop, note)
        group, number, length = unpack(data, position)
        if group != 0xFFFE or (number != 0xE000 and number != 0xE0DD):
            raise InvalidDicom(
                f"Expected a fragment, found {tag_text(group << 16 | number)}",
                where=f"{element}, byte {position}{note}",
                hint="A fragment's length is wrong, or bytes are missing: send the file again.",
            )
        if number == 0xE0DD:
            break
        if length == UNDEFINED_LENGTH:
            raise InvalidDicom(
                "A fragment has an undefined length",
                where=f"{element}, byte {position}{note}",
                hint="Fragments have explicit lengths (PS3.5 A.4).",
            )
        position += 8
        if position + length > end:
            _refuse_short(element, position - 8, end, stop, note, length)
        odd = odd or bool(length & 1)
        offsets.append(position)
        lengths.append(length)
        position += length
        if len(offsets) > most:
            raise LimitExceeded(
                f"Pixel data has more than {most} fragments",
                where=f"{element}, byte {position}{note}",
                hint="Raise max_fragments if the source is trusted.",
            )
    if odd:
        log.add("odd_length", f"{element}, byte {start}{note}", "A fragment has an odd length")
    if not offsets:
        raise InvalidDicom(
            "Encapsulated pixel data has no Basic Offset Table item",
            where=f"{element}, byte {start}{note}",
            hint="The first item is the Basic Offset Table, which may be empty (PS3.5 A.4).",
        )
    return Fragments(offsets[0], lengths[0], offsets[1:], lengths[1:], position + 8)


def _refuse_short(element: str, position: int, end: int, stop: int, note: str, length: int | None = None) -> None:
    where = f"{element}, byte {position}{note}"
    what = "Encapsulated pixel data is not closed" if length is None else f"A fragment declares {length} bytes"
    if end == stop:
        there = f", {max(end - position - 8, 0)} are there" if length is not None else " at the end of the file"
        raise TruncatedDicom(what + there, where=where, hint="Send the file again: its end is missing.")
    raise InvalidDicom(f"{what} within its item", where=where, hint="Correct the lengths at the source.")
