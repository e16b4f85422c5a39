"""Wildcard patterns (PS3.4 C.2.2.2.4): as LIKE decides them, and the runs of characters that every match contains."""

from __future__ import annotations

import re
import unicodedata

ESCAPE = "\\"
_WILDCARDS = re.compile(r"[*?]+")
_STARS = re.compile(r"\*{2,}")


def is_pattern(value: str) -> bool:
    """True if a value holds `*` or `?`."""
    return "*" in value or "?" in value


def is_universal(value: str) -> bool:
    """True if a value matches all: it is empty or holds only `*` (PS3.4 C.2.2.2.3)."""
    return not value.strip("*")


def like(pattern: str) -> str:
    """The LIKE pattern, escaped by `ESCAPE`, of a value with `*` for any characters and `?` for one."""
    escaped = _STARS.sub("*", pattern).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def runs(pattern: str) -> list[str]:
    """What stands between the wildcards of a pattern; a text that it matches contains all of it."""
    return [run for run in _WILDCARDS.split(pattern) if run]


def fold(text: str) -> str:
    """A text with case and compatibility forms levelled, for names (PS3.4 C.2.2.2.1 leaves that to us for PN)."""
    return unicodedata.normalize("NFKC", text).casefold()


def name_key(name: str) -> str:
    """A person name folded for matching: each component group without trailing carets, between equals signs.

    One LIKE so finds a name in any of its groups (alphabetic, ideographic, phonetic).
    """
    if not name:
        return ""
    groups = (fold(group).rstrip("^ ") for group in name.split("="))
    return "=" + "=".join(group.lstrip() for group in groups) + "="


def name_patterns(value: str) -> list[str]:
    """The patterns, one a component group that is given, that a name's key must contain."""
    groups = [fold(group).strip() for group in value.split("=")]
    return [f"={group if group.endswith('*') else group.rstrip('^')}=" for group in groups if group]
