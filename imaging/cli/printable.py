"""Foreign text made safe for a terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

_LONGEST: Final = 200
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control and format characters (escape sequences, RTL override), lone surrogates, line and paragraph separators."""


def printable(text: str, longest: int = _LONGEST) -> str:
    r"""The text with control and format characters as visible escapes such as `\x1b`, cut at `longest` characters."""
    shown = "".join(_escape(character) for character in text[:longest])
    return shown + "…" if len(text) > longest else shown


def _escape(character: str) -> str:
    if unicodedata.category(character) in _UNSAFE:
        return character.encode("unicode_escape", "replace").decode("ascii")
    return character
