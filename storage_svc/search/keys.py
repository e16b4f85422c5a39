"""The keywords that can be matched, and how (PS3.4 C.2.2.2): value, list, wildcard, range; names in any case."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, ColumnElement, and_, exists, or_, select, true

from storage_svc.schema import INSTANCE, SERIES, STUDY_LIST
from storage_svc.search.date_range import date_range, malformed, time_range, within
from storage_svc.search.wildcard import ESCAPE, is_pattern, is_universal, like, name_patterns

_INTEGER = re.compile(r"[+-]?[0-9]{1,12}\Z")
MAX_NAME_LENGTH: Final = 1024
"""Characters of a person name: folding makes up to 18 of one, and a pattern of SQLite has at most 50,000 bytes."""

_GROUPS: Final = 3
"""Component groups of a person name (PS3.5 6.2.1)."""

STUDY_LEVEL, SERIES_LEVEL, INSTANCE_LEVEL = 1, 2, 3

Condition = ColumnElement[bool]
Make = Callable[[str], Condition]


@dataclass(frozen=True, slots=True)
class Key:
    """How one keyword is matched."""

    level: int
    condition: Make
    is_uid: bool = False


def _text(column: Column[str]) -> Make:
    def condition(value: str) -> Condition:
        values = value.split("\\")
        matching = [_matching(column, single) for single in values if is_pattern(single)]
        if exact := [single for single in values if not is_pattern(single)]:
            matching.append(column.in_(exact))
        return or_(*matching)

    return condition


def _matching(column: ColumnElement[str], pattern: str) -> Condition:
    return true() if is_universal(pattern) else column.like(like(pattern), escape=ESCAPE)


def _uid(column: Column[str]) -> Make:
    # Without wildcards in UIDs (PS3.4 C.2.2.2.2).
    return lambda value: column.in_(value.split("\\"))


def _person(column: Column[str]) -> Make:
    def condition(value: str) -> Condition:
        if len(value) > MAX_NAME_LENGTH:
            raise malformed(f"a person name has more than {MAX_NAME_LENGTH} characters")
        if value.count("=") >= _GROUPS:
            raise malformed(f"a person name has more than {_GROUPS} component groups")
        return and_(true(), *(column.like(f"%{like(name)}%", escape=ESCAPE) for name in name_patterns(value)))

    return condition


def _date(column: Column[str]) -> Make:
    return lambda value: within(column, date_range(value))


def _birth_date(value: str) -> Condition:
    found = date_range(value)
    column = STUDY_LIST.c.patient_birth_date
    # A range may hold most patients: it is a filter, not a way to find them.
    return column == found.low if found.low == found.high else within(column.concat(""), found)


def _time(column: Column[str]) -> Make:
    return lambda value: within(column, time_range(value))


def _number(column: Column[int]) -> Make:
    def condition(value: str) -> Condition:
        if not _INTEGER.match(value.strip()):
            raise malformed("it is not an integer")
        return column == int(value)

    return condition


def _modalities(value: str) -> Condition:
    own = _ANY_SERIES.c.study_instance_uid == STUDY_LIST.c.study_instance_uid
    live = _ANY_SERIES.c.instance_count > 0
    query = select(_ANY_SERIES.c.modality).where(own, live, _text(_ANY_SERIES.c.modality)(value))
    return exists(query.correlate(STUDY_LIST))


def _image_type(value: str) -> Condition:
    """Any of the values of Image Type matches."""
    marked = "\\" + INSTANCE.c.image_type + "\\"
    return marked.like(f"%{like(chr(92) + value.strip(chr(92)) + chr(92))}%", escape=ESCAPE)


_ANY_SERIES = SERIES.alias("any_series")
_S, _X, _I = STUDY_LIST.c, SERIES.c, INSTANCE.c

KEYS: Mapping[str, Key] = {
    "StudyInstanceUID": Key(STUDY_LEVEL, _uid(_S.study_instance_uid), is_uid=True),
    "PatientID": Key(STUDY_LEVEL, _text(_S.patient_id)),
    "IssuerOfPatientID": Key(STUDY_LEVEL, _text(_S.issuer_of_patient_id)),
    "PatientName": Key(STUDY_LEVEL, _person(_S.patient_name_key)),
    "PatientBirthDate": Key(STUDY_LEVEL, _birth_date),
    "PatientSex": Key(STUDY_LEVEL, _text(_S.patient_sex)),
    "StudyDate": Key(STUDY_LEVEL, _date(_S.study_date)),
    "StudyTime": Key(STUDY_LEVEL, _time(_S.study_time)),
    "AccessionNumber": Key(STUDY_LEVEL, _text(_S.accession_number)),
    "StudyID": Key(STUDY_LEVEL, _text(_S.study_id)),
    "StudyDescription": Key(STUDY_LEVEL, _text(_S.study_description)),
    "ReferringPhysicianName": Key(STUDY_LEVEL, _person(_S.referring_physician_name_key)),
    "ModalitiesInStudy": Key(STUDY_LEVEL, _modalities),
    "SeriesInstanceUID": Key(SERIES_LEVEL, _uid(_X.series_instance_uid), is_uid=True),
    "Modality": Key(SERIES_LEVEL, _text(_X.modality)),
    "SeriesNumber": Key(SERIES_LEVEL, _number(_X.series_number)),
    "SeriesDescription": Key(SERIES_LEVEL, _text(_X.series_description)),
    "SeriesDate": Key(SERIES_LEVEL, _date(_X.series_date)),
    "SeriesTime": Key(SERIES_LEVEL, _time(_X.series_time)),
    "BodyPartExamined": Key(SERIES_LEVEL, _text(_X.body_part_examined)),
    "Laterality": Key(SERIES_LEVEL, _text(_X.laterality)),
    "FrameOfReferenceUID": Key(SERIES_LEVEL, _uid(_X.frame_of_reference_uid)),
    "Manufacturer": Key(SERIES_LEVEL, _text(_X.manufacturer)),
    "ManufacturerModelName": Key(SERIES_LEVEL, _text(_X.manufacturer_model_name)),
    "ProtocolName": Key(SERIES_LEVEL, _text(_X.protocol_name)),
    "PerformedProcedureStepStartDate": Key(SERIES_LEVEL, _date(_X.procedure_step_start_date)),
    "PerformedProcedureStepStartTime": Key(SERIES_LEVEL, _time(_X.procedure_step_start_time)),
    "SOPInstanceUID": Key(INSTANCE_LEVEL, _uid(_I.sop_instance_uid), is_uid=True),
    "SOPClassUID": Key(INSTANCE_LEVEL, _uid(_I.sop_class_uid)),
    "InstanceNumber": Key(INSTANCE_LEVEL, _number(_I.instance_number)),
    "ImageType": Key(INSTANCE_LEVEL, _image_type),
    "ContentDate": Key(INSTANCE_LEVEL, _date(_I.content_date)),
    "ContentTime": Key(INSTANCE_LEVEL, _time(_I.content_time)),
    "AcquisitionNumber": Key(INSTANCE_LEVEL, _number(_I.acquisition_number)),
    "NumberOfFrames": Key(INSTANCE_LEVEL, _number(_I.number_of_frames)),
    "Rows": Key(INSTANCE_LEVEL, _number(_I.rows)),
    "Columns": Key(INSTANCE_LEVEL, _number(_I.columns)),
}

PAIRS: Mapping[str, tuple[str, Column[str], Column[str]]] = {
    "StudyDate": ("StudyTime", _S.study_date, _S.study_time),
    "SeriesDate": ("SeriesTime", _X.series_date, _X.series_time),
    "PerformedProcedureStepStartDate": (
        "PerformedProcedureStepStartTime",
        _X.procedure_step_start_date,
        _X.procedure_step_start_time,
    ),
    "ContentDate": ("ContentTime", _I.content_date, _I.content_time),
}
"""Dates whose time is another attribute."""
