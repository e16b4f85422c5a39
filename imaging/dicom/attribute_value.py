"""One value of an indexed attribute: decoded, or None with the reason why not. Nothing here raises (PS3.5 6.2)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from struct import Struct
from typing import TypeAlias

from imaging.dicom.character_set import CharacterSet

Scalar: TypeAlias = str | int | float
AttributeValue: TypeAlias = "Scalar | list[Scalar] | list[Scalar | None] | None"
Decoded: TypeAlias = tuple[Scalar | None, str | None]
"""The value, and what is wrong with it: (value, None), (None, reason), or (value, reason) where it could be kept."""

_DATE = re.compile(r"([0-9]{4})([.]?)([0-9]{2})\2([0-9]{2})\Z")
_TIME = re.compile(r"([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(\.[0-9]{1,6})?)?)?\Z")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_DATE_TIME = re.compile(r"[0-9]{4,14}(\.[0-9]{1,6})?([+-][0-9]{4})?\Z")
_ZONE = re.compile(r"[+-](?:0[0-9]|1[0-4])[0-5][0-9]\Z")
_NUL_REPLACED = "�"

LARGEST_NUMBER = 1e28
"""Over it, a number times a stored value of 32 bits leaves float32: no physical quantity is as large."""

_DS_CHARACTERS = 16
_IS_CHARACTERS = 12


def decode_date(text: str) -> Decoded:
    """DA as YYYYMMDD; the retired form with full stops is normalised."""
    match = _DATE.match(text)
    if match is None:
        return None, "it is not a date"
    try:
        date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None, "there is no such day"
    return match[1] + match[3] + match[4], None


def decode_time(text: str) -> Decoded:
    """TM as HH, HHMM, HHMMSS or HHMMSS.FFFFFF; the retired form with colons is normalised."""
    match = _TIME.match(text)
    if match is None:
        return None, "it is not a time"
    hour, minute, second, fraction = match[1], match[2] or "", match[3] or "", match[4] or ""
    if int(hour) > 23 or int(minute or 0) > 59 or int(second or 0) > 60:
        return None, "there is no such time"
    return hour + minute + second + fraction, None


def decode_date_time(text: str) -> Decoded:
    """DT as written, if it can be one."""
    if _DATE_TIME.match(text) is None:
        return None, "it is not a date and time"
    return text, None


def decode_decimal(text: str) -> Decoded:
    """DS as a finite float; more than 16 characters are told and kept."""
    if _DECIMAL.match(text) is None:
        return None, "it is not a decimal number"
    value = float(text)
    if not math.isfinite(value):
        return None, "it is not a finite number"
    return value, f"it has more than {_DS_CHARACTERS} characters" if len(text) > _DS_CHARACTERS else None


def decode_integer(text: str) -> Decoded:
    """IS as an int of 32 bits; a decimal without fraction such as `1.0` is told and kept."""
    if len(text) > _IS_CHARACTERS:
        return None, f"it has more than {_IS_CHARACTERS} characters"
    reason = None
    if _INTEGER.match(text) is not None:
        value = int(text)
    elif _DECIMAL.match(text) is not None and float(text).is_integer():
        value = int(float(text))
        reason = "it is a decimal number"
    else:
        return None, "it is not an integer"
    if not -(2**31) <= value < 2**31:
        return None, "it is beyond 32 bits"
    return value, reason


def decode_zone(text: str) -> Decoded:
    """A time zone offset as &ZZXX (PS3.3 C.12.1.1.8)."""
    if _ZONE.match(text) is None:
        return None, "it is not an offset such as +0100"
    return text, None


def clean_text(text: str) -> Decoded:
    """The text; NUL, which neither databases nor XML can hold, is replaced."""
    if "\0" in text:
        return text.replace("\0", _NUL_REPLACED), "it contains NUL"
    return text, None


def clean_name(text: str) -> Decoded:
    """The person name; empty component groups at its end say nothing (PS3.5 6.2.1.1)."""
    return clean_text(text.rstrip("="))


STRING_DECODERS: dict[str, Callable[[str], Decoded]] = {
    "DA": decode_date,
    "TM": decode_time,
    "DT": decode_date_time,
    "DS": decode_decimal,
    "IS": decode_integer,
    "PN": clean_name,
}
"""Decoders of the VRs whose characters mean something; all other texts are taken as they are."""

_BINARY: dict[tuple[str, bool], Struct] = {
    (vr, little): Struct(("<" if little else ">") + code)
    for vr, code in {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}.items()
    for little in (True, False)
}

_CHARSET_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_TEXT_DELIMITERS = b"\r\n\t\f\\"
_NAME_DELIMITERS = b"^=\\"
_ONE_VALUE = frozenset(("LT", "ST", "UT", "UR"))
"""VRs in which a backslash is a character."""
LEADING_SPACES_COUNT = frozenset(("LT", "ST", "UT", "UC", "UR"))
"""VRs in which leading spaces are part of the value (PS3.5 6.2)."""


def split_text(raw: bytes, vr: str, characters: CharacterSet) -> tuple[list[str], bool]:
    """The values of a text element without padding, and whether all characters could be decoded."""
    clean = True
    if vr in _CHARSET_VRS:
        text, clean = characters.decode(raw, _NAME_DELIMITERS if vr == "PN" else _TEXT_DELIMITERS)
    else:
        clean = raw.isascii()
        text = raw.decode("ascii", "replace")
    values = [text] if vr in _ONE_VALUE else text.split("\\")
    if vr in LEADING_SPACES_COUNT:
        return [value.rstrip(" \0") for value in values], clean
    return [value.strip(" \0") for value in values], clean


def decode_binary(raw: bytes, vr: str, little_endian: bool) -> list[Scalar] | None:
    """The numbers of a binary element, None if its length is no multiple of a number's."""
    number = _BINARY[vr, little_endian]
    if len(raw) % number.size:
        return None
    return [value for (value,) in number.iter_unpack(raw)]
