"""Text from foreign files and services, made safe to print: bounded, on one line, nothing that steers a screen."""

from __future__ import annotations

import unicodedata

MAX_TEXT_CHARS = 400
"""The longest text that a report shows from one attribute; far above what any VR of a header line allows."""

_REPLACEMENT = "\ufffd"

_REPLACED_CATEGORIES = frozenset({"Cc", "Cs", "Cn", "Co"})
"""Control characters (ESC among them), lone surrogates, unassigned and private code points: no font shows them, and a
terminal obeys the first. All format characters (Cf: embeddings, overrides and isolates of the bidirectional
algorithm, zero-width signs) reorder or hide what a reader sees, and are replaced too."""


def clean_text(text: object, max_chars: int = MAX_TEXT_CHARS) -> str:
    """The text on one line, at most `max_chars` characters; a cut one ends in `…`, an unprintable sign becomes U+FFFD.

    White space of any kind becomes one space. Letters of every script stay as they are.
    """
    # Cut before any work over the characters: the input may have megabytes.
    raw = str(text)[: max_chars * 4 + 64]
    signs = []
    for sign in raw:
        category = unicodedata.category(sign)
        if sign.isspace():
            signs.append(" ")
        elif category in _REPLACED_CATEGORIES or category == "Cf":
            signs.append(_REPLACEMENT)
        else:
            signs.append(sign)
    line = " ".join("".join(signs).split())
    if len(line) > max_chars or len(str(text)) > len(raw):
        return line[: max_chars - 1].rstrip() + "…"
    return line


def person_name(value: str) -> str:
    """A Person Name (PS3.5 6.2.1) as a reader writes it: `Family, Given Middle`, other writings in brackets.

    `Yamada^Tarou=山田^太郎=やまだ^たろう` gives `Yamada, Tarou (山田 太郎, やまだ たろう)`.
    """
    groups = [group for group in (value or "").split("=")[:3] if group.strip(" ^")]
    if not groups:
        return ""
    first, *others = (_name_group(group) for group in groups)
    rest = ", ".join(clean_text(group.replace("^", " "), 80) for group in groups[1:])
    return f"{first} ({rest})" if others else first


def _name_group(group: str) -> str:
    parts = [clean_text(part, 80) for part in group.split("^")[:5]] + [""] * 5
    family, given, middle, prefix, suffix = parts[:5]
    rest = " ".join(part for part in (prefix, given, middle) if part)
    name = f"{family}, {rest}" if family and rest else family or rest
    return f"{name}, {suffix}" if suffix else name
