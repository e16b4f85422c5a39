"""Values of a header that a volume cannot be without: missing, empty and unreadable ones are refused with the place."""

from __future__ import annotations

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from imaging.dicom.header_value import has_value, numbers
from imaging.errors import VolumeRefused


def required_numbers(dataset: Dataset | None, keyword: str, count: int, where: str) -> tuple[float, ...]:
    """The `count` finite numbers of an attribute.

    Raises
    ------
    VolumeRefused
        Rule `missing_geometry` if the attribute is absent or empty, `invalid_geometry` if it holds something else.
    """
    found = numbers(dataset, keyword)
    if found is None:
        present = dataset is not None and keyword in dataset
        raise refused(
            "missing_geometry" if not present or not has_value(dataset, keyword) else "invalid_geometry",
            f"{keyword} is {'empty or unreadable' if present else 'missing'}",
            where=f"{where}, {tag_text(keyword)}",
            hint="Without it the place of the image in the patient is unknown; send images that carry it.",
            attribute=keyword,
        )
    if len(found) != count:
        raise refused(
            "invalid_geometry",
            f"{keyword} has {len(found)} values instead of {count}",
            where=f"{where}, {tag_text(keyword)}",
            hint="Correct the sender.",
            attribute=keyword,
        )
    return found


def tag_text(keyword: str) -> str:
    """The attribute as `(0020,0032)`."""
    tag = tag_for_keyword(keyword) or 0
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def refused(rule: str, what: str, *, where: str, hint: str, **facts: object) -> VolumeRefused:
    """A `VolumeRefused` whose metadata holds the rule that was broken and its facts."""
    return VolumeRefused(
        what, where=where, hint=hint, metadata={"rule": rule, **{name: str(value) for name, value in facts.items()}}
    )
