"""The check of one object: as bytes, as they will be stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import parse_basic_offsets, parse_fragments

from imaging.dicom.header_value import UNREADABLE, first_number
from imaging.errors import ObjectRefused
from imaging.gate.image_place import ExpectedPlaces, check_places, moved_attributes
from imaging.gate.required_attributes import is_known, missing_attributes
from imaging.gate.sr_template import check_template

_MOST_FAULTS: Final = 5
"""So many are told; the first ones say enough."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An object that is to be stored, and what it has to keep to."""

    content: bytes
    """Part 10 file."""

    places: ExpectedPlaces | None = None
    """Where its frames have to lie; None for what has no place in the patient."""

    same_as_made: Callable[[Dataset], list[str]] | None = None
    """What only its maker can compare, e.g. its pixels with the masks that it was made of: sentences, or none."""

    copy_of: Dataset | None = None
    """Header of the image of which this is a copy with the same pixels, of whatever SOP Class: it has its place, and
    may lack what that lacks."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What was compared of an object that may be stored."""

    sop_class_uid: str
    compared: dict[str, int]
    """Rule and how much: `attributes`, `pixels`, `template`, `places`, `content`."""

    largest_deviation_mm: float | None
    """Of the places; None without."""


def check_object(outgoing: Outgoing) -> Passed:
    """Read the object back and compare it with what its IOD, its template and its source ask for.

    Raises
    ------
    ObjectRefused
        With what is wrong.
    """
    dataset = dcmread(BytesIO(outgoing.content))
    uid = str(dataset.get("SOPInstanceUID", ""))
    sop_class_uid = str(dataset.get("SOPClassUID", ""))
    source = outgoing.copy_of
    if not is_known(sop_class_uid) and source is None:
        raise _refused(uid, sop_class_uid, ["attributes: it is of no SOP Class that the gate knows"])
    compared: dict[str, int] = {}
    deviation: float | None = None
    faults: list[str] = []

    def note(rule: str, count: int, found: list[str]) -> None:
        compared[rule] = count
        faults.extend(f"{rule}: {fault}" for fault in found)

    if is_known(sop_class_uid):
        count, missing = missing_attributes(dataset)
        allowed = set(missing_attributes(source)[1]) if missing and source is not None else set()
        note("attributes", count, [fault for fault in missing if fault not in allowed])
    if "PixelData" in dataset:
        note("pixels", *_pixels(dataset))
    elif source is not None:
        note("pixels", 0, ["a copy of an image has no PixelData"])
    if "ContentTemplateSequence" in dataset or "ContentSequence" in dataset:
        note("template", *check_template(dataset))
    if outgoing.places is not None:
        count, deviation, found = check_places(dataset, outgoing.places)
        note("places", count, found)
    if source is not None:
        note("places", *moved_attributes(dataset, source))
    if outgoing.same_as_made is not None and not faults:
        note("content", 1, outgoing.same_as_made(dataset))
    if faults:
        raise _refused(uid, sop_class_uid, faults)
    return Passed(sop_class_uid, compared, deviation)


def _pixels(dataset: Dataset) -> tuple[int, list[str]]:
    """Native pixel data is as long as the image (PS3.5 8.1.1); encapsulated, a frame is a fragment of ours (A.4)."""
    frames = int(first_number(dataset, "NumberOfFrames") or 1)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        found = _fragment_count(dataset.PixelData)
        return frames, [] if found == frames else [f"PixelData has {found} fragments for {frames} frames"]
    sizes = [int(first_number(dataset, name) or 0) for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")]
    bits = frames * sizes[0] * sizes[1] * sizes[2] * sizes[3]
    length = (bits + 7) // 8
    if len(dataset.PixelData) == length + length % 2:
        return frames, []
    return frames, [f"PixelData has {len(dataset.PixelData)} bytes and not {length}"]


def _fragment_count(encapsulated: bytes) -> int:
    """Those after the Basic Offset Table; 0 where there is none, or what is there is no sequence of fragments."""
    file = BytesIO(encapsulated)
    try:
        parse_basic_offsets(file)
        count: int = parse_fragments(file)[0]
    except UNREADABLE:
        return 0
    return count


def _refused(uid: str, sop_class_uid: str, faults: list[str]) -> ObjectRefused:
    more = f" and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
    return ObjectRefused(
        f"An object that was made is not sound and was not stored: {'; '.join(faults[:_MOST_FAULTS])}{more}",
        where=f"instance {uid or 'without UID'} of SOP Class {sop_class_uid or 'unknown'}",
        hint="This is a defect of the step, model or report that made it; please report it.",
    )
