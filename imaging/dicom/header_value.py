"""Values of a pydicom header, whatever is in it: what is absent, empty or unreadable is told apart, nothing raises.

pydicom decodes a value when it is first asked for, and raises then if it is odd. A keyword may be a tag: groups of
overlays repeat.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.sequence import Sequence

from imaging.dicom.attribute_value import LARGEST_NUMBER

UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    NotImplementedError,
    AttributeError,
    LookupError,
    EOFError,
    OSError,  # of a sequence that ends within an item
    BytesLengthException,
    struct.error,
    RecursionError,
)
"""What pydicom raises for values that it cannot decode."""


def numbers(dataset: Dataset | None, keyword: str | int) -> tuple[float, ...] | None:
    """The numbers of an attribute; None if it is absent, empty, or has a value that is none, or beyond any quantity."""
    found = values(dataset, keyword)
    if not found:
        return None
    try:
        parsed = tuple(float(str(each)) for each in found)
    except (TypeError, ValueError, OverflowError):
        return None
    return parsed if all(abs(each) <= LARGEST_NUMBER for each in parsed) else None


def first_number(dataset: Dataset | None, keyword: str | int) -> float | None:
    """The first number of an attribute, or None."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def text(dataset: Dataset | None, keyword: str | int) -> str:
    """The value of an attribute as text, several values joined by a backslash; empty if it is absent."""
    return "\\".join(str(each).strip() for each in values(dataset, keyword))


def items(dataset: Dataset | None, keyword: str | int) -> list[Dataset]:
    """The items of a sequence; none if it is absent, empty or no sequence."""
    return [each for each in values(dataset, keyword) if isinstance(each, Dataset)]


def first_item(dataset: Dataset | None, keyword: str | int) -> Dataset | None:
    """The first item of a sequence, or None."""
    return item_at(dataset, keyword, 0)


def item_at(dataset: Dataset | None, keyword: str | int, index: int) -> Dataset | None:
    """One item of a sequence, or None; the others are not looked at, of which there may be thousands."""
    sequence = whole_value(dataset, keyword)
    if not isinstance(sequence, Sequence) or not 0 <= index < len(sequence):
        return None
    return sequence[index]


def has_value(dataset: Dataset | None, keyword: str | int) -> bool:
    """Whether the attribute is there and not empty, be its value sensible or not."""
    return bool(values(dataset, keyword))


def whole_value(dataset: Dataset | None, keyword: str | int) -> Any:
    """The value as pydicom gives it; None if it is absent or cannot be read."""
    if dataset is None or keyword not in dataset:
        return None
    try:
        return dataset[keyword].value
    except UNREADABLE:
        return None


def values(dataset: Dataset | None, keyword: str | int) -> list[object]:
    """All values; none if it is absent or empty, not-a-number alone if it cannot be read."""
    if dataset is None or keyword not in dataset:
        return []
    try:
        value = dataset[keyword].value
    except UNREADABLE:
        return [math.nan]
    if value is None or (isinstance(value, str | bytes) and not value):
        return []
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return [value]
    return list(value)
