"""Same request, same bytes: no clock and no random number is left in an object that this product makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from imaging.derived.dicom_time import da_value, dt_value, offset_zone, tm_value
from imaging.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from imaging.dicom.uid import derived_uid
from imaging.errors import InvalidArgument

_RANDOM_ROOTS = ("1.2.826.0.1.3680043.8.498.", "1.2.826.0.1.3680043.10.511.3.")
"""Under which pydicom and highdicom make random UIDs. Source images may carry such UIDs too, so that only the
attributes named below, which are this object's own, are ever replaced."""

_OWN_UIDS = frozenset({"DimensionOrganizationUID", "TrackingUID", "ObservationUID", "PaletteColorLookupTableUID"})
"""At any depth. Study, series, frame of reference and referenced UIDs are facts about other objects."""

_TRACKING_UNIQUE_IDENTIFIER = ("112040", "DCM")

_DATE_AND_TIME = (
    ("InstanceCreationDate", "InstanceCreationTime"),
    ("ContentDate", "ContentTime"),
    ("PresentationCreationDate", "PresentationCreationTime"),
    ("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
)
"""Pairs of the object itself (top level), which tell when it was made."""


def make_deterministic(dataset: Dataset, uid_parts: Sequence[str], effective_time: datetime) -> Dataset:
    """Replace, in place, what a library filled in by chance or by clock; the same data set is given back.

    Replaced are, where present: the instance's creation and content dates, VerificationDateTime, the
    ContributionDateTime that highdicom gives its own item, and those UIDs of the object itself that
    pydicom or highdicom drew at random (SOPInstanceUID, DimensionOrganizationUID, TrackingUID and the UID of a
    tracking content item 112040 DCM). A UID that was given by the caller, as by `imaging.dicom.uid.derived_uid`, is
    kept. Equal random UIDs become equal new ones, so that references inside the object stay whole. InstanceCreation
    is added if absent. A second call changes nothing.

    Parameters
    ----------
    dataset
        The object that was made; SOPInstanceUID and SeriesInstanceUID should have been given by the caller.
    uid_parts
        What makes this object this one: input manifest, algorithm, version, parameters, and its number if the same
        request makes several.
    effective_time
        The request's time, with a time zone. Dates and times without an offset of their own are written in the zone
        of TimezoneOffsetFromUTC (0008,0201) where the object has it, else in UTC.

    Raises
    ------
    InvalidArgument
        If `effective_time` has no time zone, or `uid_parts` is empty.
    """
    if not uid_parts:
        raise InvalidArgument(
            "No parts to derive UIDs from",
            where="uid_parts",
            hint="Give the input manifest, the algorithm, its version and its parameters.",
        )
    _replace_uids(dataset, tuple(uid_parts))
    _replace_times(dataset, effective_time)
    return dataset


def part10_bytes(dataset: Dataset) -> bytes:
    """The bytes of a Part 10 file, the same for equal data sets (PS3.10 7.1).

    The preamble is zero; the File Meta Information is written anew with this product's implementation UID and without
    optional elements. The transfer syntax is that of `dataset.file_meta`, or Explicit VR Little Endian.
    """
    present = getattr(dataset, "file_meta", None)
    transfer_syntax_uid = ExplicitVRLittleEndian
    if present is not None and "TransferSyntaxUID" in present:
        transfer_syntax_uid = present.TransferSyntaxUID
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax_uid
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    dataset.preamble = b"\x00" * 128
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _replace_uids(dataset: Dataset, uid_parts: tuple[str, ...]) -> None:
    replaced: dict[str, str] = {}

    def own(value: object, keyword: str) -> object:
        text = str(value)
        if not text.startswith(_RANDOM_ROOTS):
            return value
        # The order of appearance is the same in every run; the random value is not.
        return replaced.setdefault(text, derived_uid(*uid_parts, keyword, str(len(replaced))))

    if "SOPInstanceUID" in dataset:
        dataset.SOPInstanceUID = own(dataset.SOPInstanceUID, "SOPInstanceUID")
    for level in _levels(dataset):
        for element in level:
            if element.keyword in _OWN_UIDS and element.VM == 1:
                element.value = own(element.value, element.keyword)
        if level.get("ValueType") == "UIDREF" and _concept(level) == _TRACKING_UNIQUE_IDENTIFIER:
            level.UID = own(level.UID, "TrackingUID")


def _replace_times(dataset: Dataset, effective_time: datetime) -> None:
    zone = offset_zone(dataset.get("TimezoneOffsetFromUTC"))
    date, time = da_value(effective_time, zone), tm_value(effective_time, zone)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    for date_keyword, time_keyword in _DATE_AND_TIME:
        if date_keyword in dataset:
            setattr(dataset, date_keyword, date)
        if time_keyword in dataset:
            setattr(dataset, time_keyword, time)
    for item in dataset.get("VerifyingObserverSequence") or ():
        item.VerificationDateTime = dt_value(effective_time)
    for item in dataset.get("ContributingEquipmentSequence") or ():
        # highdicom alone asks the clock. What other equipment did, and when, stays as it was told to us.
        if item.get("ManufacturerModelName") == "highdicom" and "ContributionDateTime" in item:
            item.ContributionDateTime = dt_value(effective_time)


def _levels(dataset: Dataset) -> Iterator[Dataset]:
    """The data set and every item in it, in the order of the tags."""
    pending = [dataset]
    while pending:
        level = pending.pop()
        yield level
        items = [item for element in level if element.VR == "SQ" for item in element.value]
        pending.extend(reversed(items))


def _concept(item: Dataset) -> tuple[str, str]:
    name = (item.get("ConceptNameCodeSequence") or [Dataset()])[0]
    return str(name.get("CodeValue", "")), str(name.get("CodingSchemeDesignator", ""))
