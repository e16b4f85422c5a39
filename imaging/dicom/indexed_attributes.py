"""Decoding the indexed attributes of a data set: what cannot be decoded is null in the index and told."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from imaging.dicom.attribute_table import INDEXED_ATTRIBUTES, IndexedAttribute
from imaging.dicom.attribute_value import (
    LEADING_SPACES_COUNT,
    STRING_DECODERS,
    AttributeValue,
    Decoded,
    Scalar,
    clean_text,
    decode_binary,
    decode_zone,
    split_text,
)
from imaging.dicom.byte_source import Buffer
from imaging.dicom.character_set import CharacterSet, character_set
from imaging.dicom.limits import ScanLimits
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.tag_path import place
from imaging.dicom.value_representation import TEXT_VRS
from imaging.dicom.walked_data_set import ElementTuple, WalkedDataSet

SPECIFIC_CHARACTER_SET = 0x00080005
TIMEZONE_OFFSET = 0x00080201


_BY_TAG = {attribute.tag: attribute for attribute in INDEXED_ATTRIBUTES}


def _decoder(attribute: IndexedAttribute) -> Callable[[str], Decoded]:
    return decode_zone if attribute.tag == TIMEZONE_OFFSET else STRING_DECODERS.get(attribute.vr, clean_text)


_PLAN = tuple(
    (
        attribute,
        attribute.tag,
        attribute.vr.encode(),
        attribute.keyword,
        None if attribute.vr in ("US", *LEADING_SPACES_COUNT) else _decoder(attribute),
    )
    for attribute in INDEXED_ATTRIBUTES
)
_EMPTY: Decoded = (None, None)
_ODD = "odd value"
"""Told apart by identity: no value is this object."""


def _plain_values(decode: Callable[[str], Decoded], raw: bytes) -> tuple[Scalar | None, ...] | None:
    """The values of an element in ASCII; None if something is odd about them."""
    if not raw.isascii() or b"\x1b" in raw:
        return None
    values: list[Scalar | None] = []
    for text in raw.decode("ascii").split("\\"):
        stripped = text.strip(" \0")
        value, reason = decode(stripped) if stripped else _EMPTY
        if reason is not None:
            return None
        values.append(value)
    return tuple(values)


_REMEMBERED_BYTES = 128
_remembered = lru_cache(2048)(_plain_values)
"""Nearly all values are those of the slice before."""


class AttributeReader:
    """Decodes the indexed attributes of one data set; what cannot be decoded becomes None and a warning."""

    __slots__ = ("_characters", "_data", "_limits", "_little", "_log", "_note", "_order", "_walked")

    def __init__(
        self,
        data: Buffer,
        walked: WalkedDataSet,
        *,
        little_endian: bool,
        limits: ScanLimits,
        log: WarningLog,
        note: str = "",
    ) -> None:
        self._data = data
        self._walked = walked
        self._little = little_endian
        self._order: Literal["little", "big"] = "little" if little_endian else "big"
        self._limits = limits
        self._log = log
        self._note = note
        self._characters = self._character_set()

    def read(self) -> dict[str, AttributeValue]:
        """Values by keyword: only of elements that are there; None if one is empty or unusable."""
        elements = self._walked.elements
        values: dict[str, AttributeValue] = {}
        for attribute, tag, vr, keyword, decode in _PLAN:
            element = elements.get(tag)
            if element is not None:
                value = self._plain(attribute, vr, decode, element)
                values[keyword] = self._value(attribute, element) if value is _ODD else value
        return values

    def _plain(
        self,
        attribute: IndexedAttribute,
        vr: bytes,
        decode: Callable[[str], Decoded] | None,
        element: ElementTuple,
    ) -> AttributeValue:
        """The value as nearly all are: ASCII or one number, in the VR of the Standard; `_ODD` for the long way.

        It gives what `_value` gives, several times faster.
        """
        written, _, value_offset, length = element
        if not 0 < length <= self._limits.max_indexed_value_bytes or (written != vr and written):
            return _ODD
        raw = bytes(self._data[value_offset : value_offset + length])
        if decode is None:
            return int.from_bytes(raw, self._order) if vr == b"US" and length == 2 else _ODD
        values = (_remembered if length <= _REMEMBERED_BYTES else _plain_values)(decode, raw)
        if values is None:
            return _ODD
        if attribute.many:
            return list(values) if any(value is not None for value in values) else None
        return values[0] if len(values) == 1 else _ODD

    def _character_set(self) -> CharacterSet:
        element = self._walked.elements.get(SPECIFIC_CHARACTER_SET)
        if element is None or element[3] == 0:
            return CharacterSet()
        raw = bytes(self._data[element[2] : element[2] + min(element[3], 1024)])
        characters = character_set(raw.decode("ascii", "replace").split("\\"))
        if characters.unknown_terms:
            self._warn("charset", _BY_TAG[SPECIFIC_CHARACTER_SET], element[1], "A character set is not known")
        return characters

    def _value(self, attribute: IndexedAttribute, element: ElementTuple) -> AttributeValue:
        vr, offset, value_offset, length = element
        if length == 0:
            return None
        if length > self._limits.max_indexed_value_bytes:
            self._warn("value_too_long", attribute, offset, f"The value of {length} bytes is too long for the index")
            return None
        written = vr.decode("ascii") if vr not in (b"", b"UN") else attribute.vr
        if (written in TEXT_VRS) != (attribute.vr in TEXT_VRS) or written == "SQ":
            self._warn("vr_mismatch", attribute, offset, f"The VR is {written}, the Standard says {attribute.vr}")
            return None
        raw = bytes(self._data[value_offset : value_offset + length])
        if attribute.vr == "US":
            numbers = decode_binary(raw, "US", self._little)
            if numbers is None:
                self._warn("bad_value", attribute, offset, "The value is not indexed: its length is no number's")
                return None
            return self._first_or_all(attribute, offset, numbers)
        return self._text_value(attribute, offset, raw)

    def _text_value(self, attribute: IndexedAttribute, offset: int, raw: bytes) -> AttributeValue:
        texts, clean = split_text(raw, attribute.vr, self._characters)
        if not clean:
            message = "The value has characters outside of its character set, which are replaced in the index"
            self._warn("charset", attribute, offset, message)
        decoder = _decoder(attribute)
        values: list[Scalar | None] = []
        for text in texts:
            value, reason = decoder(text) if text else _EMPTY
            if reason is not None:
                fate = "not indexed" if value is None else "odd"
                self._warn("bad_value", attribute, offset, f"The value is {fate}: {reason}")
                if value is None and attribute.vr in ("DS", "IS"):
                    return None
            values.append(value)
        return self._first_or_all(attribute, offset, values)

    def _first_or_all(
        self, attribute: IndexedAttribute, offset: int, values: list[Scalar | None] | list[Scalar]
    ) -> AttributeValue:
        if attribute.many:
            return None if all(value is None for value in values) else values
        if len(values) > 1:
            message = f"The element has {len(values)} values instead of one; the first one is indexed"
            self._warn("multiplicity", attribute, offset, message)
        return values[0]

    def _warn(self, code: str, attribute: IndexedAttribute, offset: int, message: str) -> None:
        if not self._log.is_full:
            message = f"{attribute.keyword}: {message}"
        self._log.add(code, place(attribute.tag, offset, note=self._note), message)
