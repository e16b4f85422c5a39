"""Matching keys to SQL conditions (PS3.4 C.2.2.2): value, list, wildcard, range; names without regard to case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, and_, exists, or_, select, true

from imaging.errors import InvalidArgument
from storage_svc.schema import INSTANCE, SERIES, STUDY

_ESCAPE = "\\"
_DATE = re.compile(r"[0-9]{8}\Z")
_TIME = re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?\Z")
_INTEGER = re.compile(r"[+-]?[0-9]{1,12}\Z")
MAX_VALUE_LENGTH = 8192
"""Characters of one key: a list of some hundred UIDs."""

MAX_NAME_LENGTH = 1024
"""Characters of a person name: folding makes up to 18 of one, and a pattern of SQLite has at most 50,000 bytes."""

MAX_PATTERNS = 100
"""Values with wildcards in one key; a thousand are more than SQLite takes."""

Condition = ColumnElement[bool]


def name_key(name: str) -> str:
    """A person name folded for matching: each component group without trailing carets, between equals signs.

    Case and compatibility forms are levelled (PS3.4 C.2.2.2.1 leaves it to us for PN), so that one LIKE finds a name in
    any of its groups (alphabetic, ideographic, phonetic).
    """
    if not name:
        return ""
    groups = (_fold(group).rstrip("^ ") for group in name.split("="))
    return "=" + "=".join(group.lstrip() for group in groups) + "="


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@dataclass(frozen=True, slots=True)
class _Key:
    """How one keyword is matched; it can be asked for at its own level and below."""

    level: int
    condition: Callable[[str], Condition]


def _text(column: Column[str]) -> Callable[[str], Condition]:
    def condition(value: str) -> Condition:
        values = value.split("\\")
        patterns = [single for single in values if "*" in single or "?" in single]
        if len(patterns) > MAX_PATTERNS:
            raise _malformed(f"it lists more than {MAX_PATTERNS} values with wildcards")
        exact = column.in_([single for single in values if single not in patterns])
        return or_(exact, *(_matching(column, pattern) for pattern in patterns))

    return condition


def _matching(column: Column[str], pattern: str) -> Condition:
    return true() if set(pattern) == {"*"} else column.like(_like(pattern), escape=_ESCAPE)


def _like(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def _uid(column: Column[str]) -> Callable[[str], Condition]:
    # Without wildcards in UIDs (PS3.4 C.2.2.2.2): `*` there is taken as no restriction, as senders mean it.
    def condition(value: str) -> Condition:
        return true() if value == "*" else column.in_(value.split("\\"))

    return condition


def _person(column: Column[str]) -> Callable[[str], Condition]:
    def condition(value: str) -> Condition:
        if set(value) == {"*"}:
            return true()
        if len(value) > MAX_NAME_LENGTH:
            raise _malformed(f"a person name has more than {MAX_NAME_LENGTH} characters")
        groups = [_fold(group).strip() for group in value.split("=")]
        wanted = [group if group.endswith("*") else group.rstrip("^") for group in groups if group]
        return and_(true(), *(column.like(f"%={_like(group)}=%", escape=_ESCAPE) for group in wanted))

    return condition


def _range(column: Column[str], pattern: re.Pattern[str], what: str, last: str = "") -> Callable[[str], Condition]:
    """Dates or times: a value, or `from-to` with one end open. `last` fills a short value up to its end."""

    def condition(value: str) -> Condition:
        if value == "*":
            return true()
        low, dash, high = value.partition("-")
        if not dash:
            high = low
        for end in (low, high):
            if (end or not dash) and not pattern.match(end):
                raise _malformed(f"it is not a {what}, nor a range of two with a hyphen between")
        if not low and not high:
            raise _malformed("both ends of the range are open")
        conditions = [column != ""]
        if low:
            conditions.append(column >= low)
        if high:
            conditions.append(column <= high + last[len(high) :])
        return and_(*conditions)

    return condition


def _date(column: Column[str]) -> Callable[[str], Condition]:
    return _range(column, _DATE, "date YYYYMMDD")


def _time(column: Column[str]) -> Callable[[str], Condition]:
    # Stored times have at least HH; comparing texts orders them as long as the bounds are filled up.
    return _range(column, _TIME, "time HHMMSS.FFFFFF", "235959.999999")


def _number(column: Column[int]) -> Callable[[str], Condition]:
    def condition(value: str) -> Condition:
        if value == "*":
            return true()
        if not _INTEGER.match(value.strip()):
            raise _malformed("it is not an integer")
        return column == int(value)

    return condition


def _modalities(value: str) -> Condition:
    matching = _text(SERIES.c.modality)(value)
    own = SERIES.c.study_instance_uid == STUDY.c.study_instance_uid
    return exists(select(SERIES.c.modality).where(own, SERIES.c.instance_count > 0, matching))


_STUDY, _SERIES, _INSTANCE = 1, 2, 3

KEYS: Mapping[str, _Key] = {
    "StudyInstanceUID": _Key(_STUDY, _uid(STUDY.c.study_instance_uid)),
    "PatientID": _Key(_STUDY, _text(STUDY.c.patient_id)),
    "IssuerOfPatientID": _Key(_STUDY, _text(STUDY.c.issuer_of_patient_id)),
    "PatientName": _Key(_STUDY, _person(STUDY.c.patient_name_key)),
    "PatientBirthDate": _Key(_STUDY, _date(STUDY.c.patient_birth_date)),
    "PatientSex": _Key(_STUDY, _text(STUDY.c.patient_sex)),
    "StudyDate": _Key(_STUDY, _date(STUDY.c.study_date)),
    "StudyTime": _Key(_STUDY, _time(STUDY.c.study_time)),
    "AccessionNumber": _Key(_STUDY, _text(STUDY.c.accession_number)),
    "StudyID": _Key(_STUDY, _text(STUDY.c.study_id)),
    "StudyDescription": _Key(_STUDY, _text(STUDY.c.study_description)),
    "ReferringPhysicianName": _Key(_STUDY, _person(STUDY.c.referring_physician_name_key)),
    "ModalitiesInStudy": _Key(_STUDY, _modalities),
    "SeriesInstanceUID": _Key(_SERIES, _uid(SERIES.c.series_instance_uid)),
    "Modality": _Key(_SERIES, _text(SERIES.c.modality)),
    "SeriesNumber": _Key(_SERIES, _number(SERIES.c.series_number)),
    "SeriesDescription": _Key(_SERIES, _text(SERIES.c.series_description)),
    "SeriesDate": _Key(_SERIES, _date(SERIES.c.series_date)),
    "SeriesTime": _Key(_SERIES, _time(SERIES.c.series_time)),
    "BodyPartExamined": _Key(_SERIES, _text(SERIES.c.body_part_examined)),
    "Laterality": _Key(_SERIES, _text(SERIES.c.laterality)),
    "FrameOfReferenceUID": _Key(_SERIES, _uid(SERIES.c.frame_of_reference_uid)),
    "Manufacturer": _Key(_SERIES, _text(SERIES.c.manufacturer)),
    "ManufacturerModelName": _Key(_SERIES, _text(SERIES.c.manufacturer_model_name)),
    "ProtocolName": _Key(_SERIES, _text(SERIES.c.protocol_name)),
    "PerformedProcedureStepStartDate": _Key(_SERIES, _date(SERIES.c.procedure_step_start_date)),
    "PerformedProcedureStepStartTime": _Key(_SERIES, _time(SERIES.c.procedure_step_start_time)),
    "SOPInstanceUID": _Key(_INSTANCE, _uid(INSTANCE.c.sop_instance_uid)),
    "SOPClassUID": _Key(_INSTANCE, _uid(INSTANCE.c.sop_class_uid)),
    "InstanceNumber": _Key(_INSTANCE, _number(INSTANCE.c.instance_number)),
    "ImageType": _Key(_INSTANCE, lambda value: _image_type(value)),
    "ContentDate": _Key(_INSTANCE, _date(INSTANCE.c.content_date)),
    "ContentTime": _Key(_INSTANCE, _time(INSTANCE.c.content_time)),
    "AcquisitionNumber": _Key(_INSTANCE, _number(INSTANCE.c.acquisition_number)),
    "NumberOfFrames": _Key(_INSTANCE, _number(INSTANCE.c.number_of_frames)),
    "Rows": _Key(_INSTANCE, _number(INSTANCE.c.rows)),
    "Columns": _Key(_INSTANCE, _number(INSTANCE.c.columns)),
}


def _image_type(value: str) -> Condition:
    """Any of the values of Image Type matches."""
    column = "\\" + INSTANCE.c.image_type + "\\"
    pattern = _like("\\" + value.strip("\\") + "\\")
    return column.like(f"%{pattern}%", escape=_ESCAPE)


def condition(keyword: str, value: str, level: int) -> Condition:
    """The condition of one key in a search at a level (1 study, 2 series, 3 instance).

    Raises
    ------
    InvalidArgument
        If the keyword is not known at that level, or the value malformed. The value is not told: it may name a patient.
    """
    key = KEYS.get(keyword)
    if key is None or key.level > level:
        known = ", ".join(sorted(name for name, entry in KEYS.items() if entry.level <= level))
        raise InvalidArgument(
            "The keyword cannot be matched at this level", where=f"keys: {keyword[:64]!r}", hint=f"Known are {known}."
        )
    if len(value) > MAX_VALUE_LENGTH:
        raise InvalidArgument(
            f"A key has more than {MAX_VALUE_LENGTH} characters", where=f"keys: {keyword}", hint="Ask in parts."
        )
    if not value:
        return true()
    try:
        if "\0" in value:  # would end a pattern, which then matches everything
            raise _malformed("it holds a null character")
        return key.condition(value)
    except InvalidArgument as error:
        error.where = f"keys: {keyword}"
        error.args = (error.text,)
        raise


def _malformed(why: str) -> InvalidArgument:
    return InvalidArgument(f"The value of a key is malformed: {why}", hint="See PS3.4 C.2.2.2 for the forms of a key.")
