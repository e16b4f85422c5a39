"""Where in a data set: the text that every error and warning about it carries."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_PATH = 8
"""Sequences that are told of a path before its middle is left out."""


def tag_text(tag: int) -> str:
    """The tag as the Standard writes it: `(0010,0020)`."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def path(tag: int | None, parents: Sequence[tuple[int, int]] = ()) -> str:
    """Tags and item numbers from the outside in: `(0008,1140)[2].(0008,1155)`; long paths are shortened in the middle.

    Parameters
    ----------
    tag
        The element's tag, None where no tag could be read.
    parents
        (sequence tag, item number) from the outside in; item numbers count from 1, 0 stands for "before the first".
    """
    steps = [f"{tag_text(parent)}[{number}]" for parent, number in parents]
    if len(steps) > _LONGEST_PATH:
        half = _LONGEST_PATH // 2
        steps = [*steps[:half], f"({len(steps) - 2 * half} more)", *steps[-half:]]
    if tag is not None:
        steps.append(tag_text(tag))
    return ".".join(steps)


def place(tag: int | None, offset: int, parents: Sequence[tuple[int, int]] = (), *, note: str = "") -> str:
    """Tag path and byte offset: `(0008,1140)[2].(0008,1155), byte 712`.

    Parameters
    ----------
    offset
        Byte offset in the file, from 0, or in the inflated data set, if `note` says so.
    note
        Said after the offset.
    """
    way = path(tag, parents)
    return f"{way}, byte {offset}{note}" if way else f"byte {offset}{note}"
