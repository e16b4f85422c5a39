"""Media types of Accept and Content-Type (RFC 9110 8.3.1, 12.5.1), read leniently: clients quote as they like."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

_PIECE = re.compile(r'\s*([^\s;,="]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"?|[^;,]*))?')
LONGEST = 4096
"""Characters of a header that are looked at."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or range, in lower case but for the values of its parameters."""

    name: str
    """`multipart/related`, `image/*`, `*/*`."""

    parameters: dict[str, str] = field(default_factory=dict)
    quality: float = 1.0

    @property
    def part(self) -> str:
        """The type of the parts of a `multipart/related`, in lower case; empty if it does not say."""
        return self.parameters.get("type", "").lower()

    def matches(self, name: str) -> bool:
        """True if a concrete type is in this range."""
        return self.name in ("*/*", name) or (self.name.endswith("/*") and name.startswith(self.name[:-1]))


@lru_cache(maxsize=512)
def parse_accept(header: str) -> tuple[MediaType, ...]:
    """The ranges of an Accept header, best first; what cannot be read is left out, and nothing at all means `*/*`.

    `type="application/dicom; transfer-syntax=*"`, quoted as a whole, is read as what it means.
    """
    found: list[MediaType] = []
    position, header = 0, header[:LONGEST]
    while position < len(header):
        media_type, position = _one(header, position)
        if media_type is not None and media_type.quality > 0:
            found.append(media_type)
    found.sort(key=lambda media_type: -media_type.quality)
    return tuple(found) or (MediaType("*/*"),)


def parse_media_type(header: str) -> MediaType:
    """The media type of a Content-Type header; its name is empty if there is none."""
    media_type, _ = _one(header[:LONGEST], 0)
    return media_type or MediaType("")


def _one(header: str, position: int) -> tuple[MediaType | None, int]:
    """The next media type, and where the one after it begins."""
    name = ""
    parameters: dict[str, str] = {}
    while position < len(header):
        sign = header[position]
        if sign == ",":
            position += 1
            break
        match = None if sign in ";" else _PIECE.match(header, position)
        if match is None or match.end() == position:
            position += 1
            continue
        position = match.end()
        key, value = match[1].lower(), match[2]
        if value is None:
            if not name and not parameters and (key == "*" or "/" in key):
                name = "*/*" if key == "*" else key
        else:
            value = value.strip().strip('"').replace('\\"', '"').strip()
            head, semicolon, rest = value.partition(";")
            if semicolon and key == "type":
                value = head.strip()
                inner, _ = _one(f"x/x;{rest}", 0)
                parameters = {**(inner.parameters if inner else {}), **parameters}
            parameters.setdefault(key, value)
    if not name:
        return None, position
    quality = _quality(parameters.pop("q", "1"))
    return MediaType(name, parameters, quality), position


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0
