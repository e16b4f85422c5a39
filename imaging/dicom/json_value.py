"""One element of the DICOM JSON model, as text (PS3.18 F.2). Nothing here raises: what cannot be expressed is told.

The values are those of pydicom's `to_json_dict`, where that gives any; an odd one does not take the others along.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from struct import Struct
from typing import Final

from imaging.dicom.character_set import CharacterSet

BULK_BYTES: Final = 768
"""Binary values over this size are bulk: as Base64 they would take over 1 KiB."""

BULK_VRS: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
"""VRs of binary values without structure."""

LEFT_OUT: Final = "VALUE_LEFT_OUT"
"""The flaw of a value that no JSON can express."""

ODD: Final = "VALUE_ODD"
"""The flaw of a value that is given, although it is not quite what its VR allows."""

Json = tuple[str, str]
"""The text after the VR (`,"Value":[...]`, or nothing for an empty value), and the flaw, empty if there is none."""

_NOTHING: Final[Json] = ("", "")
_NONE: Final[Json] = ("", LEFT_OUT)
_PLAIN = re.compile(rb"[ !#-\[\]-~]*\Z").match
"""Printable ASCII without what JSON escapes, hence without a second value."""
_DECIMALS = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z").match
_SMALL_INTEGER = re.compile(rb"[+-]?[0-9]{1,9}\Z").match
_IS_LIMIT = 2**31
_NAME_DELIMITERS: Final = b"^=\\"
_TEXT_DELIMITERS: Final = b"\r\n\t\f\\"
_LUT_DESCRIPTORS = frozenset((0x00281101, 0x00281102, 0x00281103, 0x00283002))
_NAME_PARTS = ("Alphabetic", "Ideographic", "Phonetic")
_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def element_json(tag: int, vr: str, raw: bytes, little_endian: bool, characters: CharacterSet) -> Json:
    """What stands after the VR of an element that is no sequence.

    Parameters
    ----------
    raw
        The value as it is encoded, padding included.
    """
    if not raw:
        return _NOTHING
    if vr in BULK_VRS:
        return _binary(vr, raw, little_endian)
    if vr in _NUMBERS:
        return _numbers(tag, vr, raw, little_endian)
    write = _WRITERS.get(vr)
    return _NONE if write is None else write(raw, characters)


def _binary(vr: str, raw: bytes, little_endian: bool) -> Json:
    size = _WORD_BYTES.get(vr, 1)
    if not little_endian and size > 1 and len(raw) % size == 0:  # PS3.18 F.2.7: little endian
        raw = b"".join(raw[at : at + size][::-1] for at in range(0, len(raw), size))
    return f',"InlineBinary":"{b64encode(raw).decode("ascii")}"', ""


def _numbers(tag: int, vr: str, raw: bytes, little_endian: bool) -> Json:
    little, big = _NUMBERS[vr]
    number = little if little_endian else big
    if len(raw) % number.size:
        return _NONE
    values = [value for (value,) in number.iter_unpack(raw)]
    if vr == "AT":
        return (
            _values([f'"{value >> 16 | (value & 0xFFFF) << 16:08X}"' for value in values])
            if little_endian
            else (_values([f'"{value:08X}"' for value in values]))
        )
    if tag in _LUT_DESCRIPTORS and vr == "SS" and len(values) > 1 and values[0] < 0:
        values[0] += 65536  # a number of entries, whatever the pixels are (PS3.3 C.11.1.1.1)
    if vr in ("FL", "FD"):
        if all(map(math.isfinite, values)):
            return _values(map(float.__repr__, values))
        return _values([_float(value) for value in values], ODD)
    return _values(map(str, values))


def _float(value: float) -> str:
    """JSON has no number for these; the texts are those that `float` of Python and of others read again."""
    if math.isfinite(value):
        return float.__repr__(value)
    return '"NaN"' if math.isnan(value) else '"inf"' if value > 0 else '"-inf"'


def _uid(raw: bytes, characters: CharacterSet) -> Json:
    return _strings(raw.rstrip(b"\0 "))


def _default_text(raw: bytes, characters: CharacterSet) -> Json:
    return _strings(raw.rstrip(b" \0"))


def _application_entity(raw: bytes, characters: CharacterSet) -> Json:
    return _strings(b"\\".join(value.strip() for value in raw.split(b"\\")))


def _locator(raw: bytes, characters: CharacterSet) -> Json:
    text = raw.decode("latin-1").rstrip(" \0")
    return _values([encode_basestring(text)], "" if raw.isascii() else ODD) if text else _NOTHING


def _strings(raw: bytes) -> Json:
    """Values of the default repertoire, that is ASCII."""
    if not raw:
        return _NOTHING
    if _PLAIN(raw):
        return f',"Value":["{raw.decode("ascii")}"]', ""
    texts = raw.decode("latin-1").split("\\")
    return _values(map(encode_basestring, texts), "" if raw.isascii() else ODD)


def _short_text(raw: bytes, characters: CharacterSet) -> Json:
    """Values that the Specific Character Set applies to."""
    if _PLAIN(raw):
        text = raw.rstrip(b" ").decode("ascii")
        return (f',"Value":["{text}"]', "") if text else _NOTHING
    text, clean = characters.decode(raw, _TEXT_DELIMITERS)
    values = [value.rstrip("\0 ") for value in text.split("\\")]
    if values == [""]:
        return _NOTHING
    return _values(map(encode_basestring, values), "" if clean else ODD)


def _long_text(raw: bytes, characters: CharacterSet) -> Json:
    """One value; a backslash is a character of it."""
    text, clean = characters.decode(raw, _TEXT_DELIMITERS)
    text = text.rstrip("\0 ")
    return _values([encode_basestring(text)], "" if clean else ODD) if text else _NOTHING


def _names(raw: bytes, characters: CharacterSet) -> Json:
    raw = raw.rstrip(b"\0 ")
    if not raw:
        return _NOTHING
    if b"=" not in raw and _PLAIN(raw):
        return f',"Value":[{{"Alphabetic":"{raw.decode("ascii")}"}}]', ""
    text, clean = characters.decode(raw, _NAME_DELIMITERS)
    return _values(map(_name, text.split("\\")), "" if clean else ODD)


def _name(text: str) -> str:
    groups = text.rstrip("=").split("=")[:3]
    members = [f'"{part}":{encode_basestring(group)}' for part, group in zip(_NAME_PARTS, groups, strict=False)]
    return "{" + ",".join(members) + "}"


def _decimals(raw: bytes, characters: CharacterSet) -> Json:
    return _parsed(raw, _decimal)


def _integers(raw: bytes, characters: CharacterSet) -> Json:
    return _parsed(raw, _integer)


def _parsed(raw: bytes, parse: Callable[[bytes], str | None]) -> Json:
    """Numbers that are written as text; an empty one among several is null."""
    raw = raw.strip(b" \0\t\r\n")
    if not raw:
        return _NOTHING
    numbers = [parse(text.strip()) if text.strip() else "null" for text in raw.split(b"\\")]
    known = [number for number in numbers if number is not None]
    return _values(known) if len(known) == len(numbers) else _NONE


def _decimal(text: bytes) -> str | None:
    if _DECIMALS(text) is None:
        return None
    value = float(text)
    return float.__repr__(value) if math.isfinite(value) else None


def _integer(text: bytes) -> str | None:
    if _SMALL_INTEGER(text):
        return str(int(text))
    if _DECIMALS(text) is None or len(text) > 32:
        return None
    value = float(text)
    return str(int(value)) if value.is_integer() and -_IS_LIMIT <= value < _IS_LIMIT else None


def _values(texts: object, flaw: str = "") -> Json:
    return f',"Value":[{",".join(texts)}]', flaw  # type: ignore[arg-type]


_NUMBERS: Final[Mapping[str, tuple[Struct, Struct]]] = {
    vr: (Struct("<" + code), Struct(">" + code))
    for vr, code in {
        "US": "H",
        "SS": "h",
        "UL": "I",
        "SL": "i",
        "UV": "Q",
        "SV": "q",
        "FL": "f",
        "FD": "d",
        "AT": "I",
    }.items()
}

_WRITERS: Final[Mapping[str, Callable[[bytes, CharacterSet], Json]]] = {
    "AE": _application_entity,
    "AS": _default_text,
    "CS": _default_text,
    "DA": _default_text,
    "DS": _decimals,
    "DT": _default_text,
    "IS": _integers,
    "LO": _short_text,
    "LT": _long_text,
    "PN": _names,
    "SH": _short_text,
    "ST": _long_text,
    "TM": _default_text,
    "UC": _short_text,
    "UI": _uid,
    "UR": _locator,
    "UT": _long_text,
}
