"""Are the attributes there that the IOD of an object requires (PS3.3 A, PS3.5 7.4)?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

_CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"


def _is_verified_report(dataset: Dataset) -> bool:
    """Of an encapsulated document the flag says it without the names (PS3.3 C.24.2)."""
    return dataset.get("VerificationFlag") == "VERIFIED" and "EncapsulatedDocument" not in dataset


_CONDITIONS: Final[tuple[tuple[str, str, Callable[[Dataset], bool]], ...]] = (
    ("VerifyingObserverSequence", "VerificationFlag is VERIFIED", _is_verified_report),
    ("PlanarConfiguration", "there are several samples a pixel", lambda d: int(d.get("SamplesPerPixel") or 1) > 1),
    ("PixelData", "there are pixels", lambda d: "BitsAllocated" in d),
    ("RescaleType", "there is a slope", lambda d: "RescaleSlope" in d and str(d.SOPClassUID) == _CT_IMAGE),
    ("PatientOrientation", "there is no image plane", lambda d: "ImageType" in d and _has_no_plane(d)),
)
"""Attribute of type 1C or 2C, its condition in words, and as a function of the data set."""

_MAY_BE_EMPTY: Final = frozenset({"PatientOrientation"})
"""Those of type 2C (PS3.3 C.7.6.1.1.1)."""


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An attribute of an IOD."""

    keyword: str
    tag: BaseTag
    type: str
    below: tuple[_Attribute, ...]
    """Those of the items, for a sequence."""


@cache
def _iods() -> dict[str, tuple[_Attribute, ...]]:
    """The attributes by SOP Class UID."""
    table = json.loads(Path(__file__).with_name("required_attributes.json").read_text())
    return {uid: _attributes(iod["attributes"]) for uid, iod in table.items()}


def _attributes(tree: dict[str, list[Any]]) -> tuple[_Attribute, ...]:
    return tuple(
        _Attribute(keyword, Tag(keyword), kind, _attributes(below[0]) if below else ())
        for keyword, (kind, *below) in tree.items()
    )


def is_known(sop_class_uid: str) -> bool:
    """True for the objects that the table tells the IOD of."""
    return sop_class_uid in _iods()


def missing_attributes(dataset: Dataset) -> tuple[int, list[str]]:
    """How many requirements were looked at, and those that are not met, as sentences without values.

    Parameters
    ----------
    dataset
        With a SOP Class that `is_known`.
    """
    answers = list(_walk(dataset, _iods()[str(dataset.SOPClassUID)], ""))
    for keyword, condition, holds in _CONDITIONS:
        if holds(dataset):
            is_told = keyword in dataset if keyword in _MAY_BE_EMPTY else _has_value(dataset, keyword)
            answers.append("" if is_told else f"{keyword} is missing although {condition}")
    return len(answers), [answer for answer in answers if answer]


def _walk(dataset: Dataset, attributes: tuple[_Attribute, ...], path: str) -> Iterator[str]:
    """A sentence for each requirement that is not met, an empty text for each that is."""
    there = dataset.keys()
    for each in attributes:
        place = f"{path}{each.keyword}"
        is_there = each.tag in there
        if each.type == "1":
            # Not converted: of most values it is enough that they are there.
            value = dataset.get_item(each.tag).value if is_there else None
            yield "" if value or value == 0 else f"{place} (type 1) has no value"
        elif each.type == "2":
            yield "" if is_there else f"{place} (type 2) is missing"
        if each.below and is_there:
            for number, item in enumerate(dataset[each.tag].value or (), start=1):
                yield from _walk(item, each.below, f"{place}[{number}].")


def _has_value(dataset: Dataset, keyword: str) -> bool:
    return keyword in dataset and not dataset[keyword].is_empty


def _has_no_plane(dataset: Dataset) -> bool:
    """Image Plane module or functional groups (PS3.3 C.7.6.1.1.1)."""
    return "ImageOrientationPatient" not in dataset and "SharedFunctionalGroupsSequence" not in dataset
