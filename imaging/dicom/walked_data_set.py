"""What a walk over a data set leaves behind: where its outermost elements are, and the levels that it passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from imaging.dicom.fragments import Fragments

ElementTuple: TypeAlias = tuple[bytes, int, int, int]
"""VR as written (empty in implicit VR), offset of the tag, offset of the value, bytes of the value."""


@dataclass(slots=True)
class WalkedDataSet:
    """The elements of the outermost level by tag (the first one of duplicates), and what was found on the way."""

    elements: dict[int, ElementTuple] = field(default_factory=dict)
    """Encapsulated pixel data has the length found by walking it, a sequence of undefined length has length 0."""
    duplicates: dict[int, list[ElementTuple]] = field(default_factory=dict)
    fragments: Fragments | None = None
    """Those of the outermost encapsulated pixel data."""
    element_count: int = 0


@dataclass(slots=True)
class OpenLevel:
    """A sequence or an item that is open, or the data set itself."""

    is_sequence: bool
    tag: int
    opened: int
    end: int
    undefined: bool
    implicit: bool
    little: bool
    items: int = 0
