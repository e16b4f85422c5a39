"""The DICOM JSON model (PS3.18 F) of headers, written straight from their bytes.

Most elements of a series are the same bytes in every instance. So the text of each distinct element is kept and found
again by these bytes; a further slice then costs little more than the walk over it. Structure was judged by the scanner
when the instance came; here every length is checked again, because what is read back may be damaged.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NoReturn

from imaging.dicom.character_set import CharacterSet, character_set
from imaging.dicom.element_walk import PIXEL_DATA_TAGS, walk_data_set
from imaging.dicom.json_value import BULK_BYTES, BULK_VRS, LEFT_OUT, element_json
from imaging.dicom.limits import DEFAULT_LIMITS
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.tag_path import path, place
from imaging.dicom.transfer_syntax import transfer_syntax
from imaging.dicom.value_representation import (
    FRAGMENT_VRS,
    LONG_LENGTH_VRS,
    SHORT_LENGTH_VRS,
    UNDEFINED_LENGTH,
)
from imaging.errors import InvalidDicom

_EXPLICIT = {True: struct.Struct("<HH2sH").unpack_from, False: struct.Struct(">HH2sH").unpack_from}
_IMPLICIT = {True: struct.Struct("<HHI").unpack_from, False: struct.Struct(">HHI").unpack_from}
_LONG = {True: struct.Struct("<I").unpack_from, False: struct.Struct(">I").unpack_from}
_VR_TEXT: Final = {vr: vr.decode("ascii") for vr in SHORT_LENGTH_VRS | LONG_LENGTH_VRS}

BULK_DATA: Final = "bulkdata"
"""First segment of each BulkDataURI."""

_ITEM = 0xE000
_ITEM_END = 0xE00D
_SEQUENCE_END = 0xE0DD
_SPECIFIC_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103
_CONTEXT_TAGS = frozenset((_SPECIFIC_CHARACTER_SET, _PIXEL_REPRESENTATION))
_LUT_DESCRIPTOR = 0x00283002
_LUT_DATA = 0x00283006

_KEPT_ELEMENT_BYTES = 2048
"""Elements up to this size are remembered; larger ones are seldom the same twice."""
_MOST_FLAWS = 100
_MOST_CONTEXTS = 64
_KNOWN_UN_BYTES = 0xFFFF
"""A standard element under UN is given its own VR up to this size: then a converter had no room for the length."""


@dataclass(frozen=True, slots=True)
class JsonModel:
    """The model of one header: UTF-8 JSON, and what could not be given, or only in part.

    A flaw is a code (`VALUE_LEFT_OUT`, `VALUE_ODD`) and a tag path, never a value.
    """

    content: bytes
    flaws: tuple[str, ...] = ()


@dataclass(slots=True)
class _Context:
    """What the text of an element depends on besides its own bytes."""

    implicit: bool
    little: bool
    terms: bytes
    signed: bool | None
    """Whether pixels are signed; None while that is not known."""
    characters: CharacterSet
    known: dict[bytes, str] = field(default_factory=dict)


class JsonModels:
    """Writes the models of many headers, best of one series. For one thread at a time.

    Parameters
    ----------
    most_bytes
        Of elements that are remembered, about.
    """

    def __init__(self, most_bytes: int = 8 * 1024 * 1024) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._contexts: dict[tuple[bool, bool, bytes, bool | None], _Context] = {}

    @property
    def remembered_bytes(self) -> int:
        """About what the remembered elements take in memory."""
        return self._bytes

    def model(self, header: bytes, transfer_syntax_uid: str, shortened_by: Sequence[int] = ()) -> JsonModel:
        """The model of one header, as `imaging.dicom.header.header_bytes` gave it.

        Bulk values are told by a BulkDataURI that is relative to the instance: `bulkdata/` and their path, as
        `54000100/1/54001010` (tag, number of the item, tag).

        Parameters
        ----------
        shortened_by
            Tags of elements that were left out of the header for their size: bulk values among them are told, too.

        Raises
        ------
        InvalidDicom
            If the bytes are no header that was scanned.
        """
        syntax = transfer_syntax(transfer_syntax_uid)
        walk = _Walk(self, header)
        context = self._context(syntax.implicit_vr, syntax.little_endian, b"", None)
        try:
            text, _ = walk.data_set(0, len(header), context, False)
        except struct.error:
            walk.refuse(0, len(header))
        if self._bytes > self._most_bytes:
            self._contexts.clear()
            self._bytes = 0
        bulk = [walk.bulk(tag, _standard_vr(tag)) for tag in shortened_by if _standard_vr(tag) in BULK_VRS]
        if bulk:
            text = "{" + ",".join([text[1:-1], *bulk] if len(text) > 2 else bulk) + "}"
        return JsonModel(text.encode("utf-8", "replace"), tuple(walk.flaws))

    def _context(self, implicit: bool, little: bool, terms: bytes, signed: bool | None) -> _Context:
        key = (implicit, little, terms, signed)
        context = self._contexts.get(key)
        if context is None:
            characters = character_set(terms.decode("ascii", "replace").split("\\")) if terms else CharacterSet()
            context = _Context(implicit, little, terms, signed, characters)
            if len(self._contexts) < _MOST_CONTEXTS:
                self._contexts[key] = context
        return context

    def keep(self, context: _Context, key: bytes, text: str) -> None:
        """Remember the text of an element, if there is room."""
        if self._bytes <= self._most_bytes:
            context.known[key] = text
            self._bytes += len(key) + len(text) + 200

    def changed(self, context: _Context, tag: int, value: bytes) -> _Context:
        """The context after one of the elements that it is made of."""
        if tag == _SPECIFIC_CHARACTER_SET:
            return self._context(context.implicit, context.little, value[:1024], context.signed)
        signed = b"\x01" in value if value else context.signed
        return self._context(context.implicit, context.little, context.terms, signed)

    def implicit(self, context: _Context, little: bool) -> _Context:
        """The context in items that are written with implicit VR inside a data set that is not."""
        return self._context(True, little, context.terms, context.signed)


class _Walk:
    """One header; sequences recurse, as deep as the scanner lets them."""

    __slots__ = ("data", "flaws", "models", "parents", "told_by_path")

    def __init__(self, models: JsonModels, data: bytes) -> None:
        self.models = models
        self.data = data
        self.flaws: list[str] = []
        self.parents: list[tuple[int, int]] = []
        self.told_by_path = 0

    def data_set(self, position: int, end: int, context: _Context, undefined: bool) -> tuple[str, int]:
        """The object of the elements from `position` to `end`, or to an item delimiter, and where it ends.

        Of an element that is there more than once the last one counts, as for pydicom.
        """
        data, implicit = self.data, context.implicit
        explicit_header, implicit_header, long_length = (
            _EXPLICIT[context.little],
            _IMPLICIT[context.little],
            _LONG[context.little],
        )
        known, short, opened = context.known, SHORT_LENGTH_VRS, position
        texts: dict[int, str] = {}
        creators: dict[int, bytes] = {}
        vr = b""
        while position < end:
            start = position
            position += 8
            if implicit:
                group, number, length = implicit_header(data, start)
            else:
                group, number, vr, length = explicit_header(data, start)
                if vr not in short and group != 0xFFFE:
                    if vr not in LONG_LENGTH_VRS:
                        if start != opened or not self.parents:
                            self.refuse(start, end)
                        return self.data_set(start, end, self.models.implicit(context, context.little), undefined)
                    (length,) = long_length(data, position)
                    position += 4
            if group == 0xFFFE:
                if number != _ITEM_END or not undefined:
                    self.refuse(start, end)
                return "{" + ",".join(texts.values()) + "}", position
            tag = group << 16 | number
            if length == UNDEFINED_LENGTH:
                texts[tag], position = self._undefined(tag, vr, position, end, context)
                continue
            stop = position + length
            if stop > end:
                self.refuse(start, end)
            if length > _KEPT_ELEMENT_BYTES:
                text: str | None = self._element(tag, vr, position, stop, context, creators, texts)
            else:
                key = data[start:stop]
                if group & 1:
                    if 0x10 <= number <= 0xFF:
                        creators[tag] = data[position:stop]
                    elif implicit or vr == b"UN":
                        key += creators.get(group << 16 | number >> 8, b"")
                elif tag == _LUT_DATA:
                    key += texts.get(_LUT_DESCRIPTOR, "").encode()
                text = known.get(key)
                if text is None:
                    before = len(self.flaws), self.told_by_path if self.parents else 0
                    text = self._element(tag, vr, position, stop, context, creators, texts)
                    after = len(self.flaws), self.told_by_path if self.parents else 0
                    if before == after and (not implicit or context.signed is not None):
                        self.models.keep(context, key, text)
            if text:
                texts[tag] = text
            if tag in _CONTEXT_TAGS:
                context = self.models.changed(context, tag, data[position:stop])
                known = context.known
            position = stop
        if undefined:
            self.refuse(position, end)
        return "{" + ",".join(texts.values()) + "}", position

    def _element(
        self,
        tag: int,
        vr: bytes,
        position: int,
        stop: int,
        context: _Context,
        creators: dict[int, bytes],
        texts: dict[int, str],
    ) -> str:
        """The member of one element; empty if it is left out."""
        if not tag & 0xFFFF:
            return ""  # group lengths have no place in the model (PS3.18 F.2.2)
        name = _VR_TEXT.get(vr, "")
        if context.implicit or name == "UN":
            name = self._vr(tag, vr, stop - position, context, creators, texts)
        if name == "SQ":
            if vr != b"UN":
                return self._sequence(tag, position, stop, context, False)[0]
            # Its content is implicit VR little endian (PS3.5 6.2.2), which no scanner has looked at.
            try:
                return self._sequence(tag, position, stop, self.models.implicit(context, True), False)[0]
            except (InvalidDicom, struct.error):
                return self._flawed(tag, LEFT_OUT)
        if stop - position > BULK_BYTES and name in BULK_VRS:
            return self.bulk(tag, name)
        value, flaw = element_json(tag, name, self.data[position:stop], context.little, context.characters)
        if flaw and not self._flawed(tag, flaw) and flaw == LEFT_OUT:
            return ""
        return f'"{tag:08X}":{{"vr":"{name}"{value}}}'

    def _undefined(self, tag: int, vr: bytes, position: int, end: int, context: _Context) -> tuple[str, int]:
        """The member of an element of undefined length, and where it ends."""
        if tag in PIXEL_DATA_TAGS if context.implicit else vr in FRAGMENT_VRS:
            return self.bulk(tag, _VR_TEXT.get(vr, "OB")), self._after_fragments(position, end, context)
        if vr == b"UN":
            context = self.models.implicit(context, True)
        return self._sequence(tag, position, end, context, True)

    def _sequence(self, tag: int, position: int, end: int, context: _Context, undefined: bool) -> tuple[str, int]:
        """The member of a sequence, and where it ends."""
        header = _IMPLICIT[context.little]
        items: list[str] = []
        depth = len(self.parents)
        if depth >= DEFAULT_LIMITS.max_depth:
            self.refuse(position, end)
        self.parents.append((tag, 0))
        while undefined or position < end:
            if position + 8 > end:
                self.refuse(position, end)
            group, number, length = header(self.data, position)
            if group == 0xFFFE and number == _SEQUENCE_END and undefined:
                position += 8
                break
            if group != 0xFFFE or number != _ITEM:
                self.refuse(position, end)
            self.parents[-1] = (tag, len(items) + 1)
            position += 8
            stop = end if length == UNDEFINED_LENGTH else position + length
            if stop > end:
                self.refuse(position - 8, end)
            text, position = self.data_set(position, stop, context, length == UNDEFINED_LENGTH)
            items.append(text)
        del self.parents[depth:]
        return f'"{tag:08X}":{{"vr":"SQ","Value":[{",".join(items)}]}}', position

    def _after_fragments(self, position: int, end: int, context: _Context) -> int:
        header = _IMPLICIT[context.little]
        while True:
            if position + 8 > end:
                self.refuse(position, end)
            group, number, length = header(self.data, position)
            if group != 0xFFFE or number not in (_ITEM, _SEQUENCE_END):
                self.refuse(position, end)
            position += 8
            if number == _SEQUENCE_END:
                return position
            position += length

    def _vr(
        self, tag: int, vr: bytes, length: int, context: _Context, creators: dict[int, bytes], texts: dict[int, str]
    ) -> str:
        """The VR of an element that does not tell it."""
        if tag & 0x10000:
            return _private_vr(tag, creators.get(tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8, b""))
        if vr == b"UN" and length >= _KNOWN_UN_BYTES:
            return "UN"
        name = _standard_vr(tag)
        if name == "US or SS":
            return "SS" if self._is_signed(context) else "US"
        if name == "US or OW":  # one entry alone is a number (PS3.3 C.11.1.1.1)
            return "US" if "[1," in texts.get(_LUT_DESCRIPTOR, "") else "OW"
        return "OW" if " or " in name else name

    def _is_signed(self, context: _Context) -> bool:
        """Whether pixels are signed. A few elements that depend on it stand before the one that tells."""
        if context.signed is not None:
            return context.signed
        walked = walk_data_set(
            self.data,
            0,
            len(self.data),
            implicit_vr=context.implicit,
            little_endian=context.little,
            limits=DEFAULT_LIMITS,
            log=WarningLog(0),
        )
        _, _, position, length = walked.elements.get(_PIXEL_REPRESENTATION, (b"", 0, 0, 0))
        return b"\x01" in self.data[position : position + length]

    def bulk(self, tag: int, name: str) -> str:
        """The member of a bulk value."""
        self.told_by_path += 1
        above = "".join(f"{sequence:08X}/{number}/" for sequence, number in self.parents)
        return f'"{tag:08X}":{{"vr":"{name}","BulkDataURI":"{BULK_DATA}/{above}{tag:08X}"}}'

    def _flawed(self, tag: int, flaw: str) -> str:
        """Nothing; what is wrong is noted."""
        if len(self.flaws) < _MOST_FLAWS:
            self.flaws.append(f"{flaw} {path(tag, self.parents)}")
        return ""

    def refuse(self, offset: int, end: int) -> NoReturn:
        """Say that here stands nothing that a scanned header can have."""
        raise InvalidDicom(
            f"What stands here is no element of the {max(0, end - offset)} bytes that are left",
            where=place(None, offset, self.parents),
            hint="The stored header is damaged: restore the object from a backup.",
        )


@lru_cache(4096)
def _standard_vr(tag: int) -> str:
    from pydicom.datadict import dictionary_VR  # large, and only implicit VR needs it

    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"


@lru_cache(4096)
def _private_vr(tag: int, creator: bytes) -> str:
    if 0x10 <= tag & 0xFFFF <= 0xFF:
        return "LO"
    if not creator:
        return "UN"
    from pydicom.datadict import private_dictionary_VR
    from pydicom.tag import Tag

    try:
        return str(private_dictionary_VR(Tag(tag), creator.decode("latin-1").rstrip("\0 ")))
    except KeyError:
        return "UN"
