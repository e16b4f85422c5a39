"""What a bad input is, and what must become of it when it is sent to storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from imaging.errors import ImagingError
from tests.dicom.part10 import RT_PLAN, Values, data_set, file_meta, identity

SOP_INSTANCE_UID, STUDY_INSTANCE_UID = "1.2.3.4.5", "1.2.3"
"""Of everything that `part10` builds; the one who sends it gives each its own of the same length."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A typed refusal: the class of the error, how its place begins, and a word of its hint or of what it says.

    Its place always has a byte offset, its hint is never empty, nothing of it becomes visible, and a row is left for
    the audit.
    """

    kind: type[ImagingError]
    at: str = "byte "
    says: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """It is stored bit-exact, with these warnings and no others."""

    warnings: tuple[str, ...] = ()
    frames: type[ImagingError] | int = 0
    """How many frames decode, or the error that asking for them gives."""

    study: Mapping[str, str] = field(default_factory=dict)
    """What the index must say of the study; an unusable value is empty."""


@dataclass(frozen=True, slots=True)
class BadInput:
    """A line of the table."""

    name: str
    make: Callable[[], bytes]
    answer: Refused | Taken
    header: Mapping[str, str] = field(default_factory=dict)
    """Further fields of the upload's header."""


def report(tail: bytes | Values) -> bytes:
    """An RT plan, which has no pixels, that ends with these bytes or has these values."""
    plan = identity(RT_PLAN)
    body = data_set(plan) + tail if isinstance(tail, bytes) else data_set(plan | tail)
    return file_meta(sop_class=RT_PLAN) + body
