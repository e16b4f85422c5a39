"""Identifiers of queries and retrievals (PS3.4 C.4.1.1.3): data sets of short values, read and written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final

from gateway_svc.dimse.association import Context
from gateway_svc.dimse.data_set import IncomingDataSet
from imaging.dicom.character_set import character_set
from imaging.dicom.element_walk import walk_data_set
from imaging.dicom.limits import DEFAULT_LIMITS
from imaging.dicom.scan_warning import WarningLog
from imaging.dicom.transfer_syntax import IMPLICIT_VR_LITTLE_ENDIAN
from imaging.errors import InvalidArgument, InvalidDicom, LimitExceeded

MOST_BYTES: Final = 256 * 1024
"""Of an identifier: a list of some thousand UIDs."""

SPECIFIC_CHARACTER_SET: Final = 0x00080005

_EXPLICIT = Struct("<HH2sH")
_IMPLICIT = Struct("<HHI")
_US = Struct("<H")
_UL = Struct("<I")
_PN_DELIMITERS = b"\\^="
_MOST_VALUE_BYTES = 0xFFFE
"""An element of a short VR has no room for more in Explicit VR."""

_ENCODINGS: Final[Mapping[str, str]] = {
    "ISO_IR 100": "iso8859_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 166": "tis-620",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
"""Character sets without escape sequences, in which a requestor that speaks one gets its answers where they fit."""

_UTF_8 = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Element:
    """An element of an identifier that is written; several values are joined by a backslash."""

    tag: int
    vr: str
    """One of those with a length of two bytes, whose value is text, or US."""
    text: str


@dataclass(frozen=True, slots=True)
class Identifier:
    """An identifier that was read: its outermost elements as text, empty for sequences."""

    values: Mapping[int, str]
    character_set: str
    """Specific Character Set (0008,0005) as it stands there; empty: ASCII."""


class UnfitIdentifier(InvalidArgument):
    """An identifier that does not fit the SOP Class: no level, or no unique key where one is needed."""

    reason = "UNFIT_IDENTIFIER"


async def read_identifier(data: IncomingDataSet | None, context: Context) -> Identifier:
    """The identifier of a request.

    Raises
    ------
    InvalidDicom
        If there is none, it is over `MOST_BYTES`, or it is not well-formed.
    AssociationLost
        If the association ended before it was whole.
    """
    return decode_identifier(await identifier_bytes(data), context.transfer_syntax)


async def identifier_bytes(data: IncomingDataSet | None, most: int = MOST_BYTES) -> bytes:
    """The bytes of the data set of a request; raises as `read_identifier`."""
    if data is None:
        raise InvalidDicom("The command says that no identifier follows", where="(0000,0800)", hint="Send one.")
    pieces = await data.take(most)
    if not data.is_exhausted or sum(map(len, pieces)) > most:
        raise LimitExceeded(f"The data set has more than {most} bytes", hint="Ask in parts.")
    return b"".join(pieces)


def decode_identifier(content: bytes, transfer_syntax_uid: str) -> Identifier:
    """The value of an identifier in Implicit or Explicit VR Little Endian.

    Raises
    ------
    InvalidDicom
        If it is not well-formed.
    """
    walked = walk_data_set(
        content,
        0,
        len(content),
        implicit_vr=transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN,
        little_endian=True,
        limits=DEFAULT_LIMITS,
        log=WarningLog(0),
    )

    def raw(tag: int) -> bytes:
        _, _, start, length = walked.elements.get(tag, (b"", 0, 0, 0))
        return content[start : start + length]

    terms = raw(SPECIFIC_CHARACTER_SET).decode("ascii", "replace").strip("\0 ")
    characters = character_set(terms.split("\\") if terms else [])
    values = {
        tag: "" if vr == b"SQ" else characters.decode(raw(tag), _PN_DELIMITERS)[0].strip("\0 ")
        for tag, (vr, *_) in walked.elements.items()
        if tag & 0xFFFF
    }
    return Identifier(values, terms)


def encode_identifier(elements: Iterable[Element], transfer_syntax_uid: str, asked_character_set: str = "") -> bytes:
    """An identifier, in the order of tags.

    Texts are written in ASCII where that is enough, else in the character set of the request where that is enough and
    needs no escape sequences, else in UTF-8; Specific Character Set tells which.
    """
    elements = [element for element in elements if element.tag != SPECIFIC_CHARACTER_SET]
    term, encoding = _encoding([element.text for element in elements], asked_character_set)
    if term:
        elements.append(Element(SPECIFIC_CHARACTER_SET, "CS", term))
    elements.sort(key=lambda element: element.tag)
    is_implicit = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    return b"".join(_element(element, encoding, is_implicit) for element in elements)


def encode_sequence(tag: int, items: Iterable[bytes], transfer_syntax_uid: str) -> bytes:
    """A sequence of encoded items."""
    content = b"".join(_IMPLICIT.pack(0xFFFE, 0xE000, len(item)) + item for item in items)
    if transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN:
        return _IMPLICIT.pack(tag >> 16, tag & 0xFFFF, len(content)) + content
    return _EXPLICIT.pack(tag >> 16, tag & 0xFFFF, b"SQ", 0) + _UL.pack(len(content)) + content


def _encoding(texts: Iterable[str], asked: str) -> tuple[str, str]:
    """The term of Specific Character Set, and Python's name of the encoding."""
    foreign = "".join(text for text in texts if not text.isascii())
    if not foreign:
        return "", "ascii"
    encoding = _ENCODINGS.get(asked, "")
    if encoding:
        try:
            foreign.encode(encoding)
        except UnicodeEncodeError:
            pass
        else:
            return asked, encoding
    return _UTF_8, "utf-8"


def _element(element: Element, encoding: str, is_implicit: bool) -> bytes:
    value = _value(element, encoding)
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if is_implicit:
        return _IMPLICIT.pack(group, number, len(value)) + value
    return _EXPLICIT.pack(group, number, element.vr.encode("ascii"), len(value)) + value


def _value(element: Element, encoding: str) -> bytes:
    if element.vr == "US":
        return b"".join(_US.pack(min(int(text), 0xFFFF)) for text in element.text.split("\\") if text)
    value = element.text.encode(encoding, "replace")
    while len(value) > _MOST_VALUE_BYTES:  # a list: what it has no room for is left out
        value = value.rpartition(b"\\")[0] if b"\\" in value else value[:_MOST_VALUE_BYTES]
    return value + (b"\0" if element.vr == "UI" else b" ") * (len(value) % 2)
