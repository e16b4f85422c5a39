"""Where in a data set: the text that every error and warning about it carries."""

from __future__ import annotations

from collections.abc import Sequence


def tag_text(tag: int) -> str:
    """The tag as the Standard writes it: `(0010,0020)`."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def place(tag: int | None, offset: int, parents: Sequence[tuple[int, int]] = (), *, note: str = "") -> str:
    """Tag path and byte offset: `(0008,1140)[2].(0008,1155), byte 712`.

    Parameters
    ----------
    tag
        The element's tag, None where no tag could be read.
    offset
        Byte offset in the file, from 0, or in the inflated data set, if `note` says so.
    parents
        (sequence tag, item number) from the outside in; item numbers count from 1, 0 stands for "before the first".
    note
        Said after the offset.
    """
    steps = [f"{tag_text(parent)}[{number}]" for parent, number in parents]
    if len(steps) > 8:
        steps = [*steps[:4], f"… {len(steps) - 8} more …", *steps[-4:]]
    if tag is not None:
        steps.append(tag_text(tag))
    path = ".".join(steps)
    return f"{path}, byte {offset}{note}" if path else f"byte {offset}{note}"
