"""Values of a header, each read with its check: missing, empty and unreadable ones are refused with the place."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from imaging.errors import VolumeRefused


def required_numbers(dataset: Dataset | None, keyword: str, count: int, where: str) -> tuple[float, ...]:
    """The `count` finite numbers of an attribute.

    Raises
    ------
    VolumeRefused
        Rule `missing_geometry` if the attribute is absent or empty, `invalid_geometry` if it holds something else.
    """
    numbers = optional_numbers(dataset, keyword)
    if numbers is None:
        present = dataset is not None and keyword in dataset
        raise refused(
            "missing_geometry" if not present or not _values(dataset, keyword) else "invalid_geometry",
            f"{keyword} is {'empty or unreadable' if present else 'missing'}",
            where=f"{where}, {tag_text(keyword)}",
            hint="Without it the place of the image in the patient is unknown; send images that carry it.",
            attribute=keyword,
        )
    if len(numbers) != count:
        raise refused(
            "invalid_geometry",
            f"{keyword} has {len(numbers)} values instead of {count}",
            where=f"{where}, {tag_text(keyword)}",
            hint="Correct the sender.",
            attribute=keyword,
        )
    return numbers


def optional_numbers(dataset: Dataset | None, keyword: str) -> tuple[float, ...] | None:
    """The finite numbers of an attribute; None if it is absent, empty, or has a value that is no finite number."""
    values = _values(dataset, keyword)
    if not values:
        return None
    try:
        numbers = tuple(float(str(value)) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None


def optional_number(dataset: Dataset | None, keyword: str) -> float | None:
    """The first finite number of an attribute, or None."""
    numbers = optional_numbers(dataset, keyword)
    return numbers[0] if numbers else None


def text(dataset: Dataset | None, keyword: str) -> str:
    """The value of an attribute as text, several values joined by a backslash; empty if absent or unreadable."""
    return "\\".join(str(value).strip() for value in _values(dataset, keyword))


def items(dataset: Dataset | None, keyword: str) -> list[Dataset]:
    """The items of a sequence; none if it is absent, empty or no sequence."""
    return [item for item in _values(dataset, keyword) if isinstance(item, Dataset)]


def first_item(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence, or None."""
    found = items(dataset, keyword)
    return found[0] if found else None


def tag_text(keyword: str) -> str:
    """The attribute as `(0020,0032)`."""
    tag = tag_for_keyword(keyword) or 0
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def refused(rule: str, what: str, *, where: str, hint: str, **facts: object) -> VolumeRefused:
    """A `VolumeRefused` whose metadata holds the rule that was broken and its facts."""
    return VolumeRefused(
        what, where=where, hint=hint, metadata={"rule": rule, **{name: str(value) for name, value in facts.items()}}
    )


def _values(dataset: Dataset | None, keyword: str) -> list[object]:
    if dataset is None or keyword not in dataset:
        return []
    try:
        value = dataset[keyword].value
    except (ValueError, TypeError, OverflowError, NotImplementedError, AttributeError):
        # pydicom converts on access: "1,5" as a decimal string, say, cannot be read.
        return [math.nan]
    if value is None or value == "" or value == b"":
        return []
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return [value]
    return list(value)
