"""Where the attributes of one frame stand: in its functional group, the shared one, or the data set (C.7.6.16)."""

from __future__ import annotations

from math import isfinite

from pydicom import Dataset


def functional_group(header: Dataset, frame_number: int, keyword: str) -> Dataset:
    """The item of that functional group macro for the frame, or the data set itself for classic images.

    Parameters
    ----------
    frame_number
        Counts from 1.
    keyword
        Of the macro's sequence, `PixelValueTransformationSequence` say.
    """
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [per_frame[frame_number - 1]] if 1 <= frame_number <= len(per_frame) else []
    groups += list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
    for group in groups:
        items = group.get(keyword)
        if items:
            return items[0]
    return header


def numbers(item: Dataset, keyword: str) -> tuple[float, ...] | None:
    """The values of a numeric attribute; None where it is absent, empty, not a number or not finite."""
    try:
        value = item.get(keyword)
        if value is None or value == "":
            return None
        values = [value] if isinstance(value, int | float | str) else list(value)
        parsed = tuple(float(each) for each in values)
    except (ValueError, TypeError, OverflowError):
        return None
    return parsed if parsed and all(isfinite(each) for each in parsed) else None


def has_value(item: Dataset, keyword: str) -> bool:
    """Whether the attribute is there and not empty, be its value sensible or not."""
    try:
        return item.get(keyword) not in (None, "", [])
    except (ValueError, TypeError, OverflowError):
        return True
