"""Decoding text by Specific Character Set, without ever failing (PS3.5 6.1, PS3.3 C.12.1.1.2).

The tables are as pydicom's. Its own decoder tells of bad bytes by Python warnings; here a flag does.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from imaging.dicom.standard_tables import (
    DEFAULT_ENCODING,
    ENCODINGS_BY_ESCAPE,
    ENCODINGS_BY_TERM,
    STAND_ALONE_TERMS,
)

_ESCAPE = 0x1B
_PARTS = re.compile(rb"(^[^\x1b]+|\x1b[^\x1b]*)")
_SELF_ESCAPING = frozenset(("iso2022_jp", "iso2022_jp_2", "iso_ir_58"))
"""Python's codecs for these read the escape sequences themselves."""


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """Python's names of the encodings: the first holds at the start of a value, the others after an escape sequence."""

    encodings: tuple[str, ...] = (DEFAULT_ENCODING,)
    unknown_terms: int = 0
    """How many defined terms were not understood."""

    def decode(self, value: bytes, delimiters: bytes) -> tuple[str, bool]:
        """The text, and whether all of it could be decoded; what could not is replaced by U+FFFD.

        Parameters
        ----------
        delimiters
            Bytes after which the first encoding holds again.
        """
        if value.isascii() and _ESCAPE not in value:
            return value.decode("ascii"), True
        if _ESCAPE not in value:
            first = self.encodings[0]
            text, clean = _decode(value, first)
            return text, clean and first != DEFAULT_ENCODING
        pieces = [self._decode_part(part, delimiters) for part in _PARTS.findall(value)]
        return "".join(text for text, _ in pieces), all(clean for _, clean in pieces)

    def _decode_part(self, part: bytes, delimiters: bytes) -> tuple[str, bool]:
        first = self.encodings[0]
        if part[0] != _ESCAPE:
            return _decode(part, first)
        size = 4 if part.startswith((b"\x1b$(", b"\x1b$)")) else 3
        encoding = ENCODINGS_BY_ESCAPE.get(part[:size], "")
        if encoding != DEFAULT_ENCODING and encoding not in self.encodings:
            return part.decode(first, "replace"), False
        if encoding in _SELF_ESCAPING:
            return _decode(part, encoding)
        rest = part[size:]
        index = next((at for at, byte in enumerate(rest) if byte in delimiters), len(rest))
        head, tail = _decode(rest[:index], encoding), _decode(rest[index:], first)
        return head[0] + tail[0], head[1] and tail[1]


def _decode(value: bytes, encoding: str) -> tuple[str, bool]:
    try:
        return value.decode(encoding), True
    except UnicodeError:
        return value.decode(encoding, "replace"), False


def character_set(terms: list[str]) -> CharacterSet:
    """The character set that the values of Specific Character Set (0008,0005) name.

    Misspelt terms such as `ISO-IR 100` and `iso_ir 100` are understood; an unknown one is counted and passed over.
    """
    encodings: list[str] = []
    unknown = 0
    for index, term in enumerate(terms or [""]):
        encoding = _encoding(term)
        if encoding is None:
            unknown += 1
            if index == 0:
                encodings.append(DEFAULT_ENCODING)
        elif encoding not in encodings:
            encodings.append(encoding)
    if terms and len(terms) > 1 and terms[0].strip() in STAND_ALONE_TERMS:
        encodings = encodings[:1]
    return CharacterSet(tuple(encodings), unknown)


def _encoding(term: str) -> str | None:
    stripped = term.strip(" \0")
    known: str | None = ENCODINGS_BY_TERM.get(stripped)
    if known is None:
        match = re.fullmatch(r"ISO[_ -]?(2022)?[_ -]?IR[_ -]?([0-9]{1,3})", stripped, re.IGNORECASE)
        if match is not None:
            name = f"ISO 2022 IR {match[2]}" if match[1] else f"ISO_IR {match[2]}"
            known = ENCODINGS_BY_TERM.get(name)
    if known is None:
        return None
    try:
        codecs.lookup(known)
    except LookupError:
        return None
    return known
